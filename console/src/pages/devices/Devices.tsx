import { Button, MultiSelect } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { type ReactNode, useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { api, type DeviceRow, told } from '../../api/client';
import { overviewQuery, sessionQuery } from '../../api/queries';
import { PAGE_ROWS, usePages } from '../../api/use-pages';
import { SearchBox } from '../../components/SearchBox';
import { SeverityCounts } from '../../components/Severity';
import { type Column, VirtualTable } from '../../components/VirtualTable';
import { formatCount, formatTime, visible } from '../../lib/format';
import type { DEVICE_SORTS, DeviceSearch } from '../../lib/list-search';

type Sort = (typeof DEVICE_SORTS)[number];

const route = getRouteApi('/shell/devices');

/** All devices: search, filters and order are in the address, so that every view is a link. */
export function Devices(): ReactNode {
  const { t } = useTranslation();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const overview = useQuery(overviewQuery);
  const session = useQuery(sessionQuery);
  const sort: Sort = search.sort ?? 'name';
  const descending = search.descending ?? false;
  const change = (next: DeviceSearch): void => {
    void navigate({ search: next, replace: true });
  };
  const devices = usePages<DeviceRow>(['devices', search], (offset) =>
    told(
      api.GET('/api/devices', {
        params: {
          query: {
            q: search.q ?? null,
            type: search.type ?? null,
            vendor: search.vendor ?? null,
            level: search.level?.map(Number) ?? null,
            protocol: search.protocol ?? null,
            sort,
            descending,
            offset,
            limit: PAGE_ROWS,
          },
        },
      }),
    ),
  );
  const columns = useMemo(() => deviceColumns(t), [t]);
  const filtered = Object.keys(search).some((key) => key !== 'sort' && key !== 'descending');
  return (
    <>
      <div className="page-head">
        <h1>{t('devices.title')}</h1>
        <span className="quiet" role="status">
          {t('devices.found', { shown: formatCount(devices.total) })}
        </span>
      </div>
      <div className="page-tools">
        <SearchBox
          label={t('devices.search')}
          value={search.q ?? ''}
          onSearch={(q) => change(withPart(search, 'q', q === '' ? undefined : q))}
        />
        <MultiSelect
          size="xs"
          w="15rem"
          aria-label={t('devices.type')}
          placeholder={search.type === undefined ? t('devices.type') : ''}
          clearable
          searchable
          data={overview.data?.by_type.map((row) => row.value ?? '') ?? []}
          value={search.type ?? []}
          onChange={(type) => change(withPart(search, 'type', type.length > 0 ? type : undefined))}
        />
        <MultiSelect
          size="xs"
          w="15rem"
          aria-label={t('devices.level')}
          placeholder={search.level === undefined ? t('devices.level') : ''}
          clearable
          data={['0', '1', '2', '3', '4', '5'].map((level) => ({
            value: level,
            label: t('overview.level', { level, name: t(`level.${level}`) }),
          }))}
          value={search.level ?? []}
          onChange={(level) =>
            change(withPart(search, 'level', level.length > 0 ? level : undefined))
          }
        />
        {search.vendor !== undefined && (
          <Filter
            label={`${t('devices.vendor')}: ${search.vendor.map((name) => (name === '' ? t('common.unknown') : visible(name))).join(', ')}`}
            onClear={() => change(withPart(search, 'vendor', undefined))}
          />
        )}
        {search.protocol !== undefined && (
          <Filter
            label={`${t('traffic.protocol')}: ${visible(search.protocol)}`}
            onClear={() => change(withPart(search, 'protocol', undefined))}
          />
        )}
        {filtered && (
          <Button size="xs" variant="subtle" onClick={() => change({})}>
            {t('common.clear')}
          </Button>
        )}
        {session.data?.permissions.includes('devices:export') && (
          <Button
            size="xs"
            variant="default"
            component="a"
            href={`/api/devices.csv${search.q === undefined ? '' : `?q=${encodeURIComponent(search.q)}`}`}
            download
            className="push"
          >
            {t('devices.csv')}
          </Button>
        )}
      </div>
      {devices.error !== null && (
        <p className="notice" role="alert">
          {devices.error.message}
        </p>
      )}
      <VirtualTable
        label={t('devices.title')}
        columns={columns}
        total={devices.total}
        rowAt={devices.rowAt}
        keyOf={(row) => row.id}
        sort={sort}
        descending={descending}
        onSort={(next, down) =>
          change({
            ...withPart(withPart(search, 'sort', undefined), 'descending', undefined),
            ...(next !== 'name' && { sort: next }),
            ...(down && { descending: true }),
          })
        }
        onRange={devices.onRange}
      />
    </>
  );
}

function withPart<K extends keyof DeviceSearch>(
  search: DeviceSearch,
  key: K,
  value: DeviceSearch[K] | undefined,
): DeviceSearch {
  const { [key]: _, ...rest } = search;
  return value === undefined ? rest : { ...rest, [key]: value };
}

function Filter({ label, onClear }: { label: string; onClear: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Button size="xs" variant="light" rightSection="×" onClick={onClear} title={t('common.clear')}>
      {label}
    </Button>
  );
}

function deviceColumns(t: (key: string) => string): Column<DeviceRow, Sort>[] {
  const shown = (value: string | null): ReactNode =>
    value === null ? <span className="quiet">–</span> : visible(value);
  return [
    {
      key: 'name',
      label: t('device.name'),
      width: '15%',
      sort: 'name',
      cell: (row) => (
        <Link to="/devices/$device" params={{ device: row.id }} title={visible(row.name)}>
          {visible(row.name)}
        </Link>
      ),
    },
    { key: 'type', label: t('device.type'), width: '11%', sort: 'type', cell: (row) => row.type },
    {
      key: 'level',
      label: t('device.level'),
      width: '4.5rem',
      sort: 'level',
      number: true,
      cell: (row) => row.purdue_level ?? <span className="quiet">–</span>,
    },
    {
      key: 'vendor',
      label: t('device.vendor'),
      width: '13%',
      sort: 'vendor',
      cell: (row) => shown(row.vendor),
    },
    {
      key: 'model',
      label: t('device.model'),
      width: '14%',
      sort: 'model',
      cell: (row) => shown(row.model),
    },
    {
      key: 'firmware',
      label: t('device.firmware'),
      width: '6rem',
      sort: 'firmware',
      cell: (row) => shown(row.firmware),
    },
    {
      key: 'address',
      label: t('device.address'),
      width: '12%',
      sort: 'address',
      cell: (row) => {
        const all = [...row.ips, ...row.macs];
        return (
          <span className="mono" title={all.join('\n')}>
            {row.ips[0] ?? row.macs[0] ?? visible(row.child_address ?? '')}
            {row.ips.length > 1 && <span className="quiet"> +{row.ips.length - 1}</span>}
          </span>
        );
      },
    },
    {
      key: 'alerts',
      label: t('device.alerts'),
      width: '11.5rem',
      cell: (row) => <SeverityCounts counts={row.alerts} />,
    },
    {
      key: 'seen',
      label: t('device.lastSeen'),
      width: '10.5rem',
      cell: (row) => <span className="mono">{formatTime(row.last_seen).slice(0, 19)}</span>,
    },
  ];
}
