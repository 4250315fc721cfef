import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Mirror } from '../../api/client';
import { Grade, Shares } from '../../components/Grade';
import { Panel } from '../../components/Panel';
import { formatBytes, formatCount, formatShare, visible } from '../../lib/format';

interface TableProps {
  title: string;
  empty: string;
  heads: { label: string; number?: boolean }[];
  rows: { key: string; cells: ReactNode[] }[];
}

function Table({ title, empty, heads, rows }: TableProps): ReactNode {
  return (
    <Panel title={title} bare>
      {rows.length === 0 ? (
        <p className="empty">{empty}</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls by keyboard
        <section className="scroll" aria-label={title} tabIndex={0}>
          <table className="table">
            <thead>
              <tr>
                {heads.map((head) => (
                  <th key={head.label} scope="col" className={head.number ? 'number' : undefined}>
                    {head.label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={row.key}>
                  {heads.map((head, at) => (
                    <td key={head.label} className={head.number ? 'number' : undefined}>
                      {row.cells[at]}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </Panel>
  );
}

/** Each VLAN on each interface. */
export function Lanes({ lanes }: { lanes: Mirror['lanes'] }): ReactNode {
  const { t } = useTranslation();
  return (
    <Table
      title={t('mirror.lanes')}
      empty={t('mirror.nothing')}
      heads={[
        { label: t('mirror.grade') },
        { label: t('capture.interface') },
        { label: t('mirror.vlan') },
        { label: t('capture.frames'), number: true },
        { label: t('capture.bytes'), number: true },
        { label: t('mirror.shares') },
      ]}
      rows={lanes.map((lane) => ({
        key: `${lane.interface} ${lane.vlans.join('.')}`,
        cells: [
          <Grade key="grade" grade={lane.grade} />,
          visible(lane.interface) || t('mirror.capture'),
          lane.vlans.length === 0 ? t('mirror.untagged') : lane.vlans.join(' / '),
          formatCount(lane.frames),
          formatBytes(lane.bytes),
          <Shares key="shares" shares={lane.shares} />,
        ],
      }))}
    />
  );
}

/** Each protocol. */
export function Protocols({ rows }: { rows: Mirror['protocols'] }): ReactNode {
  const { t } = useTranslation();
  return (
    <Table
      title={t('mirror.protocols')}
      empty={t('mirror.nothing')}
      heads={[
        { label: t('mirror.grade') },
        { label: t('traffic.protocol') },
        { label: t('traffic.connections'), number: true },
        { label: t('capture.frames'), number: true },
        { label: t('grade.causes.missing'), number: true },
        { label: t('grade.causes.one-way'), number: true },
        { label: t('grade.causes.truncated'), number: true },
      ]}
      rows={rows.map((row) => ({
        key: row.protocol,
        cells: [
          <Grade key="grade" grade={row.grade} />,
          row.title,
          formatCount(row.connections),
          formatCount(row.packets),
          formatCount(row.missing),
          formatCount(row.one_way),
          formatCount(row.truncated),
        ],
      }))}
    />
  );
}

/** What the numbers say that senders give their messages. */
export function Counters({ rows }: { rows: Mirror['counters'] }): ReactNode {
  const { t } = useTranslation();
  return (
    <Table
      title={t('mirror.counters')}
      empty={t('mirror.noCounters')}
      heads={[
        { label: t('traffic.protocol') },
        { label: t('mirror.seen'), number: true },
        { label: t('grade.causes.missing'), number: true },
        { label: t('mirror.rate'), number: true },
      ]}
      rows={rows.map((row) => ({
        key: row.protocol,
        cells: [row.title, formatCount(row.seen), formatCount(row.missing), formatShare(row.rate)],
      }))}
    />
  );
}

/** The connections of which most was not seen. */
export function Connections({ rows }: { rows: Mirror['connections'] }): ReactNode {
  const { t } = useTranslation();
  return (
    <Table
      title={t('mirror.worst')}
      empty={t('mirror.noWorst')}
      heads={[
        { label: t('mirror.grade') },
        { label: t('traffic.client') },
        { label: t('traffic.server') },
        { label: t('traffic.protocol') },
        { label: t('capture.frames'), number: true },
        { label: t('grade.causes.missing'), number: true },
        { label: t('grade.causes.one-way'), number: true },
        { label: t('grade.causes.truncated'), number: true },
      ]}
      rows={rows.map((row) => ({
        key: `${row.client} ${row.server} ${row.protocol} ${row.packets}`,
        cells: [
          <Grade key="grade" grade={row.grade} />,
          <span key="client" className="mono">
            {row.client}
          </span>,
          <span key="server" className="mono">
            {row.server}
          </span>,
          row.title,
          formatCount(row.packets),
          formatCount(row.missing),
          formatCount(row.one_way),
          formatCount(row.truncated),
        ],
      }))}
    />
  );
}
