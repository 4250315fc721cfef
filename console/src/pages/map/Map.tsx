import { Button, Checkbox, Select } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { mapQuery, sessionQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { SearchBox } from '../../components/SearchBox';
import { formatCount, visible } from '../../lib/format';
import type { MapSearch } from '../../lib/list-search';
import { Drawing } from './Drawing';

/** The sensor announces devices and alerts; that two devices talk for the first time it does not. */
const REFRESH_MS = 5000;

const route = getRouteApi('/shell/map');

/** Who is on which Purdue level and who talks to whom; what is shown is in the address. */
export function DeviceMapPage(): ReactNode {
  const { t } = useTranslation();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const session = useQuery(sessionQuery);
  const map = useQuery({
    ...mapQuery(search),
    placeholderData: keepPreviousData,
    refetchInterval: session.data?.live ? REFRESH_MS : false,
  });
  const change = (part: Partial<Record<keyof MapSearch, unknown>>): void => {
    const next = { ...search, ...part };
    const asked = Object.entries(next).filter(([, value]) => value !== undefined);
    void navigate({ search: Object.fromEntries(asked) as MapSearch, replace: true });
  };
  const opened = map.data?.grouped ? (search.open ?? []) : [];
  const left = [
    [map.data?.nodes_left_out ?? 0, 'map.nodesLeftOut'],
    [map.data?.edges_left_out ?? 0, 'map.edgesLeftOut'],
  ] as const;
  return (
    <>
      <div className="page-head">
        <h1>{t('map.title')}</h1>
        <span className="quiet" role="status">
          {map.data && t('map.devices', { shown: formatCount(map.data.devices) })}
          {map.data?.grouped && ` ${t('map.grouped')}`}
          {left.map(([count, key]) => count > 0 && ` · ${t(key, { shown: formatCount(count) })}`)}
        </span>
      </div>
      <div className="page-tools">
        <SearchBox
          label={t('map.search')}
          value={search.q ?? ''}
          onSearch={(q) => change({ q: q === '' ? undefined : q })}
        />
        <Select
          size="xs"
          w="15rem"
          aria-label={t('traffic.protocol')}
          placeholder={t('traffic.protocol')}
          clearable
          searchable
          data={(map.data?.protocols ?? []).map((row) => ({
            value: row.protocol,
            label: row.title === row.protocol ? row.title : `${row.title} (${row.protocol})`,
          }))}
          value={search.protocol ?? null}
          onChange={(protocol) => change({ protocol: protocol ?? undefined })}
        />
        <Checkbox
          size="xs"
          label={t('map.industrial')}
          checked={search.industrial ?? false}
          onChange={(event) => change({ industrial: event.currentTarget.checked || undefined })}
        />
        {opened.map((group) => (
          <Button
            key={group}
            size="xs"
            variant="light"
            rightSection="×"
            onClick={() => {
              const rest = opened.filter((entry) => entry !== group);
              change({ open: rest.length > 0 ? rest : undefined });
            }}
          >
            {t('map.close', { group: groupName(group, t('map.level', { level: group[0] })) })}
          </Button>
        ))}
        {Object.keys(search).length > 0 && (
          <Button size="xs" variant="subtle" onClick={() => void navigate({ search: {} })}>
            {t('common.clear')}
          </Button>
        )}
      </div>
      <Asked query={map}>
        {(data) =>
          data.nodes.length === 0 ? (
            <p className="empty">{t('common.nothing')}</p>
          ) : (
            <Drawing map={data} search={search} />
          )
        }
      </Asked>
    </>
  );
}

/** A group is called by its type, and by its level where it has one. */
function groupName(group: string, level: string): string {
  const type = visible(group.slice(group.indexOf(':') + 1));
  return group.startsWith('-') ? type : `${type}, ${level}`;
}
