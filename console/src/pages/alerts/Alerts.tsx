import { Chip, Group, SegmentedControl } from '@mantine/core';
import { getRouteApi, Link } from '@tanstack/react-router';
import { type ReactNode, useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { type AlertPage, type AlertRow, api, type Side, told } from '../../api/client';
import { PAGE_ROWS, usePages } from '../../api/use-pages';
import { SearchBox } from '../../components/SearchBox';
import { SEVERITIES, Severity } from '../../components/Severity';
import { type Column, VirtualTable } from '../../components/VirtualTable';
import { formatCount, formatTime, visible } from '../../lib/format';
import type { ALERT_SORTS, AlertSearch } from '../../lib/list-search';

type Sort = (typeof ALERT_SORTS)[number];

const ENGINES = ['policy', 'protocol', 'malware', 'anomaly', 'operational'] as const;

const route = getRouteApi('/shell/alerts');

/** All alerts, gravest first. */
export function Alerts(): ReactNode {
  const { t } = useTranslation();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const sort: Sort = search.sort ?? 'severity';
  const descending = !(search.ascending ?? false);
  const change = (next: AlertSearch): void => {
    void navigate({ search: next, replace: true });
  };
  const alerts = usePages<AlertRow, AlertPage>(['alerts', search], (offset) =>
    told(
      api.GET('/api/alerts', {
        params: {
          query: {
            q: search.q ?? null,
            severity: SEVERITIES.filter((name) => search.severity?.includes(name)),
            engine: ENGINES.filter((name) => search.engine?.includes(name)),
            policy: search.policy ?? false,
            sort,
            descending,
            offset,
            limit: PAGE_ROWS,
          },
        },
      }),
    ),
  );
  const columns = useMemo(() => alertColumns(t), [t]);
  const facets = alerts.first?.facets;
  const counted = (facet: { value: string | null; count: number }[] | undefined, name: string) =>
    formatCount(facet?.find((row) => row.value === name)?.count ?? 0);
  return (
    <>
      <div className="page-head">
        <h1>{t('alerts.title')}</h1>
        <span className="quiet" role="status">
          {t('alerts.found', { shown: formatCount(alerts.total) })}
        </span>
      </div>
      <div className="page-tools">
        <SearchBox
          label={t('alerts.search')}
          value={search.q ?? ''}
          onSearch={(q) => change(withPart(search, 'q', q === '' ? undefined : q))}
        />
        <SegmentedControl
          size="xs"
          aria-label={t('alerts.which')}
          value={search.policy ? 'policy' : 'alerts'}
          onChange={(value) =>
            change(withPart(search, 'policy', value === 'policy' ? true : undefined))
          }
          data={[
            { value: 'alerts', label: t('alerts.real') },
            { value: 'policy', label: t('alerts.wouldBe') },
          ]}
        />
      </div>
      {search.policy && <p className="quiet">{t('alerts.wouldBeNote')}</p>}
      <div className="page-tools">
        <fieldset className="filter">
          <legend className="hidden-text">{t('alerts.severity')}</legend>
          <Chip.Group
            multiple
            value={search.severity ?? []}
            onChange={(severity) =>
              change(withPart(search, 'severity', severity.length > 0 ? severity : undefined))
            }
          >
            <Group gap={6}>
              {SEVERITIES.map((name) => (
                <Chip key={name} value={name} size="xs" variant="outline">
                  {t(`severity.${name}`)} {counted(facets?.severities, name)}
                </Chip>
              ))}
            </Group>
          </Chip.Group>
        </fieldset>
        <fieldset className="filter">
          <legend className="hidden-text">{t('alerts.engine')}</legend>
          <Chip.Group
            multiple
            value={search.engine ?? []}
            onChange={(engine) =>
              change(withPart(search, 'engine', engine.length > 0 ? engine : undefined))
            }
          >
            <Group gap={6}>
              {ENGINES.map((name) => (
                <Chip key={name} value={name} size="xs" variant="outline">
                  {t(`engine.${name}`)} {counted(facets?.engines, name)}
                </Chip>
              ))}
            </Group>
          </Chip.Group>
        </fieldset>
      </div>
      {alerts.error !== null && (
        <p className="notice" role="alert">
          {alerts.error.message}
        </p>
      )}
      <VirtualTable
        label={t('alerts.title')}
        columns={columns}
        total={alerts.total}
        rowAt={alerts.rowAt}
        keyOf={(row) => row.id}
        sort={sort}
        descending={descending}
        onSort={(next, down) =>
          change({
            ...withPart(withPart(search, 'sort', undefined), 'ascending', undefined),
            ...(next !== 'severity' && { sort: next }),
            ...(!down && { ascending: true }),
          })
        }
        onRange={alerts.onRange}
      />
    </>
  );
}

function withPart<K extends keyof AlertSearch>(
  search: AlertSearch,
  key: K,
  value: AlertSearch[K] | undefined,
): AlertSearch {
  const { [key]: _, ...rest } = search;
  return value === undefined ? rest : { ...rest, [key]: value };
}

function alertColumns(t: (key: string) => string): Column<AlertRow, Sort>[] {
  return [
    {
      key: 'severity',
      label: t('alerts.severity'),
      width: '7rem',
      sort: 'severity',
      cell: (row) => <Severity severity={row.severity} />,
    },
    {
      key: 'title',
      label: t('alerts.alert'),
      width: '20%',
      sort: 'title',
      cell: (row) => (
        <Link to="/alerts/$alert" params={{ alert: row.id }} title={row.title}>
          {row.title}
        </Link>
      ),
    },
    {
      key: 'text',
      label: t('alerts.what'),
      width: '30%',
      cell: (row) => <span title={visible(row.text)}>{visible(row.text)}</span>,
    },
    { key: 'source', label: t('alerts.source'), width: '12%', cell: (row) => sides(row.sources) },
    {
      key: 'destination',
      label: t('alerts.destination'),
      width: '12%',
      cell: (row) => sides(row.destinations),
    },
    {
      key: 'engine',
      label: t('alerts.engine'),
      width: '7rem',
      cell: (row) => t(`engine.${row.engine}`),
    },
    {
      key: 'count',
      label: t('common.times'),
      width: '5rem',
      sort: 'count',
      number: true,
      cell: (row) => formatCount(row.count),
    },
    {
      key: 'last',
      label: t('device.lastSeen'),
      width: '10.5rem',
      sort: 'last_seen',
      cell: (row) => <span className="mono">{formatTime(row.last_seen).slice(0, 19)}</span>,
    },
  ];
}

function sides(rows: Side[]): ReactNode {
  const first = rows[0];
  if (first === undefined) {
    return <span className="quiet">–</span>;
  }
  return (
    <span title={rows.map((row) => row.address).join('\n')}>
      {visible(first.device?.name ?? first.address)}
      {rows.length > 1 && <span className="quiet"> +{rows.length - 1}</span>}
    </span>
  );
}
