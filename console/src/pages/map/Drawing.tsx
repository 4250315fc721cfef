import { Button } from '@mantine/core';
import { type ReactNode, useMemo, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { DeviceMap, MapEdge, MapNode } from '../../api/client';
import { SeverityCounts } from '../../components/Severity';
import { formatCount, formatTime, visible } from '../../lib/format';
import type { MapSearch } from '../../lib/list-search';
import { type Geometry, type Layout, line, measure, place } from './layout';
import { NodeCard } from './NodeCard';
import { useView } from './use-view';

interface DrawingProps {
  map: DeviceMap;
  search: MapSearch;
}

/** The map itself, with what steers it and what is said about the node that is pointed at. */
export function Drawing({ map, search }: DrawingProps): ReactNode {
  const { t } = useTranslation();
  const frame = useRef<HTMLDivElement>(null);
  const geometry = useKeptGeometry(map, search);
  const steering = useView(frame, geometry.width, geometry.height);
  const [pointed, setPointed] = useState<string>();
  const node = map.nodes.find((entry) => entry.id === pointed);
  const near = useMemo(() => neighbours(map.edges, node?.id), [map.edges, node?.id]);
  const { view, reveal } = steering;
  const cards = useMemo(
    () =>
      map.nodes.map((entry) => {
        const at = geometry.at(entry.id);
        return (
          at && (
            <NodeCard
              key={entry.id}
              node={entry}
              at={at}
              search={search}
              quiet={near !== undefined && !near.has(entry.id)}
              onPoint={setPointed}
              onFocus={(focused, byKeyboard) => {
                setPointed(focused.id);
                if (byKeyboard) {
                  reveal(at);
                }
              }}
            />
          )
        );
      }),
    [map.nodes, geometry, search, near, reveal],
  );
  return (
    <section className="map" ref={frame} aria-label={t('map.title')}>
      <svg className="map-canvas" aria-label={t('map.drawing')}>
        <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>
          <Bands geometry={geometry} />
          <Edges edges={map.edges} geometry={geometry} pointed={node?.id} />
          {cards}
        </g>
      </svg>
      <div className="map-tools">
        <Button
          size="compact-sm"
          variant="default"
          onClick={steering.zoomIn}
          aria-label={t('map.zoomIn')}
        >
          +
        </Button>
        <Button
          size="compact-sm"
          variant="default"
          onClick={steering.zoomOut}
          aria-label={t('map.zoomOut')}
        >
          −
        </Button>
        <Button size="compact-sm" variant="default" onClick={steering.showAll}>
          {t('map.fit')}
        </Button>
      </div>
      {node !== undefined && <Details node={node} map={map} />}
    </section>
  );
}

/** Places stay for as long as the same groups are open. */
function useKeptGeometry(map: DeviceMap, search: MapSearch): Geometry {
  const kept = useRef<{ key: string; layout: Layout }>(undefined);
  return useMemo(() => {
    const key = JSON.stringify([map.grouped, map.grouped ? (search.open ?? []) : []]);
    const before = kept.current?.key === key ? kept.current.layout : undefined;
    kept.current = { key, layout: place(map.nodes, before) };
    return measure(kept.current.layout);
  }, [map, search.open]);
}

function neighbours(edges: MapEdge[], id: string | undefined): Set<string> | undefined {
  if (id === undefined) {
    return undefined;
  }
  const found = new Set([id]);
  for (const edge of edges) {
    if (edge.first === id) {
      found.add(edge.second);
    } else if (edge.second === id) {
      found.add(edge.first);
    }
  }
  return found;
}

function Bands({ geometry }: { geometry: Geometry }): ReactNode {
  const { t } = useTranslation();
  return geometry.bands.map(({ band, y, height }, index) => (
    <g key={band} transform={`translate(0 ${y})`}>
      <rect
        className={index % 2 === 0 ? 'map-band' : 'map-band map-band-other'}
        width={geometry.width}
        height={height}
      />
      <text x="10" y={height / 2 - 3} className="map-level">
        {band === 'unknown' ? t('map.unknown') : t('map.level', { level: band })}
      </text>
      <text x="10" y={height / 2 + 12} className="map-type">
        {band === 'unknown'
          ? t('map.unknownNote')
          : band === '5'
            ? t('map.top')
            : t(`level.${band}`)}
      </text>
    </g>
  ));
}

interface EdgesProps {
  edges: MapEdge[];
  geometry: Geometry;
  pointed: string | undefined;
}

function Edges({ edges, geometry, pointed }: EdgesProps): ReactNode {
  const drawn = useMemo(
    () =>
      edges.flatMap((edge) => {
        const from = geometry.at(edge.first);
        const to = geometry.at(edge.second);
        return from && to ? [{ edge, path: line(from, to) }] : [];
      }),
    [edges, geometry],
  );
  const own = drawn.filter(({ edge }) => edge.first === pointed || edge.second === pointed);
  const all = useMemo(
    () =>
      drawn.map(({ edge, path }) => (
        <path key={`${edge.first} ${edge.second}`} className={edgeClass(edge)} d={path} />
      )),
    [drawn],
  );
  return (
    <g>
      <g className={pointed === undefined ? '' : 'map-faint'}>{all}</g>
      {own.map(({ edge, path }) => (
        <path key={`${edge.first} ${edge.second}`} className="map-edge map-edge-own" d={path} />
      ))}
    </g>
  );
}

function edgeClass(edge: MapEdge): string {
  if (edge.member) {
    return 'map-edge map-edge-member';
  }
  return edge.industrial ? 'map-edge map-edge-industrial' : 'map-edge';
}

/** What is known about the node that is pointed at. */
function Details({ node, map }: { node: MapNode; map: DeviceMap }): ReactNode {
  const { t } = useTranslation();
  const edges = map.edges.filter((edge) => edge.first === node.id || edge.second === node.id);
  const titles = new Map(map.protocols.map((row) => [row.protocol, row.title]));
  const spoken = [...new Set(edges.flatMap((edge) => edge.protocols))].map(
    (name) => titles.get(name) ?? name,
  );
  const last = edges
    .map((edge) => edge.last_seen)
    .filter((time) => time !== null)
    .sort()
    .at(-1);
  const packets = edges.reduce((sum, edge) => sum + edge.packets, 0);
  const more = node.addresses - node.named.length;
  return (
    <div className="map-details" data-testid="map-details">
      <strong>{visible(node.name)}</strong>
      <dl className="facts">
        <dt>{t('device.type')}</dt>
        <dd>
          {node.type}
          {node.kind !== 'device' && `, ${t('map.devices', { shown: formatCount(node.devices) })}`}
        </dd>
        <dt>{t('device.vendor')}</dt>
        <dd>{node.vendor === null ? '–' : visible(node.vendor)}</dd>
        <dt>{t('map.addresses')}</dt>
        <dd className="mono">
          {node.named.join(', ')}
          {more > 0 && ` ${node.named.length === 0 ? '' : '+ '}${formatCount(more)}`}
        </dd>
        <dt>{t('map.alerts')}</dt>
        <dd>
          <SeverityCounts counts={node.alerts} />
        </dd>
        <dt>{t('map.talks')}</dt>
        <dd>{spoken.length === 0 ? '–' : spoken.sort().map(visible).join(', ')}</dd>
        <dt>{t('map.packets')}</dt>
        <dd>{formatCount(packets)}</dd>
        <dt>{t('map.last')}</dt>
        <dd>{last === undefined ? '–' : formatTime(last)}</dd>
      </dl>
    </div>
  );
}
