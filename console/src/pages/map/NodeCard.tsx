import { Link } from '@tanstack/react-router';
import type { FocusEvent, ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { MapNode } from '../../api/client';
import { SEVERITIES, SeverityShape } from '../../components/Severity';
import { formatCount, visible } from '../../lib/format';
import type { MapSearch } from '../../lib/list-search';
import { CARD, type Point } from './layout';

interface NodeCardProps {
  node: MapNode;
  at: Point;
  search: MapSearch;
  quiet: boolean;
  onPoint: (id: string | undefined) => void;
  onFocus: (node: MapNode, byKeyboard: boolean) => void;
}

/** One device, group or the internet as a card that leads further. */
export function NodeCard({ node, at, search, quiet, onPoint, onFocus }: NodeCardProps): ReactNode {
  const { t } = useTranslation();
  const gravest = SEVERITIES.find((severity) => (node.alerts[severity] ?? 0) > 0);
  const name = visible(node.name);
  const what =
    node.kind === 'device' ? node.type : t('map.devices', { shown: formatCount(node.devices) });
  const label = [
    name,
    what,
    node.level === null ? '' : t('map.level', { level: node.level }),
    gravest === undefined ? '' : `${t('map.worst')}: ${t(`severity.${gravest}`)}`,
  ]
    .filter((part) => part !== '')
    .join(', ');
  const common = {
    'aria-label': label,
    className: `map-node map-${node.kind}${node.peer ? ' map-peer' : ''}${quiet ? ' map-faint' : ''}`,
    onMouseEnter: () => onPoint(node.id),
    onMouseLeave: () => onPoint(undefined),
    onFocus: (event: FocusEvent) => onFocus(node, event.currentTarget.matches(':focus-visible')),
    onBlur: () => onPoint(undefined),
  };
  const card = (
    <svg x={at.x - CARD.width / 2} y={at.y - CARD.height / 2} overflow="visible" aria-hidden="true">
      <rect className="map-card" width={CARD.width} height={CARD.height} rx="4" />
      {node.kind === 'group' && (
        <path className="map-stack" d={`M4 ${CARD.height + 3}H${CARD.width + 3}V4`} />
      )}
      {/* Cut by the frame, not in the text: what is read aloud has to hold what is seen. */}
      <svg
        x="9"
        width={CARD.width - (gravest === undefined ? 13 : 32)}
        height={CARD.height}
        aria-hidden="true"
      >
        <text y="18" className="map-name">
          {name}
        </text>{' '}
        <text y="33" className="map-type">
          {what}
        </text>
      </svg>
      {gravest !== undefined && (
        <g className={`severity-${gravest}`} transform={`translate(${CARD.width - 20} 8)`}>
          <SeverityShape severity={gravest} />
        </g>
      )}
    </svg>
  );
  if (node.kind === 'group') {
    return (
      <Link
        {...common}
        to="/map"
        search={{ ...search, open: [...(search.open ?? []), node.id] }}
        replace
      >
        {card}
      </Link>
    );
  }
  if (node.kind === 'internet') {
    return (
      <Link {...common} to="/devices" search={{ type: [node.type] }}>
        {card}
      </Link>
    );
  }
  return (
    <Link {...common} to="/devices/$device" params={{ device: node.id }}>
      {card}
    </Link>
  );
}
