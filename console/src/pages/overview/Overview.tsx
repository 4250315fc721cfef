import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Overview as OverviewData } from '../../api/client';
import { overviewQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { Bars } from '../../components/Bars';
import { DeviceLink } from '../../components/DeviceLink';
import { Panel } from '../../components/Panel';
import { Severity } from '../../components/Severity';
import { formatBytes, formatCount, formatTime, visible } from '../../lib/format';
import { CoveragePanel } from './CoveragePanel';

/** What was captured, what there is, who changes what, and what was not seen. */
export function Overview(): ReactNode {
  const { t } = useTranslation();
  const overview = useQuery(overviewQuery);
  return (
    <>
      <div className="page-head">
        <h1>{t('overview.title')}</h1>
      </div>
      <Asked query={overview}>{(data) => <Content data={data} />}</Asked>
    </>
  );
}

function Content({ data }: { data: OverviewData }): ReactNode {
  const { t } = useTranslation();
  return (
    <>
      <div className="figures">
        <Link to="/devices" className="figure">
          {t('overview.devices')}
          <strong>{formatCount(data.devices)}</strong>
        </Link>
        {data.by_severity.map((row) => (
          <Link
            key={row.value}
            to="/alerts"
            search={{ severity: [row.value ?? ''] }}
            className="figure"
          >
            <Severity severity={row.value ?? ''} word={t(`severity.alerts.${row.value}`)} />
            <strong>{formatCount(row.count)}</strong>
          </Link>
        ))}
        <Link to="/alerts" search={{ policy: true }} className="figure">
          {t('overview.wouldAlert')}
          <strong>{formatCount(data.would_alert)}</strong>
        </Link>
      </div>
      <WritersPanel data={data} />
      <div className="grid">
        <Panel title={t('overview.byType')}>
          <Bars
            rest={t('common.others')}
            bars={data.by_type.map((row) => ({
              key: row.value ?? '',
              count: row.count,
              label: (
                <Link to="/devices" search={{ type: [row.value ?? ''] }}>
                  {row.value}
                </Link>
              ),
            }))}
          />
        </Panel>
        <Panel title={t('overview.byVendor')}>
          <Bars
            rest={t('common.others')}
            bars={data.by_vendor.map((row) => ({
              key: row.value ?? '',
              count: row.count,
              label: (
                <Link to="/devices" search={{ vendor: [row.value ?? ''] }}>
                  {row.value === null ? t('common.unknown') : visible(row.value)}
                </Link>
              ),
            }))}
          />
        </Panel>
        <Panel title={t('overview.byLevel')}>
          <Bars
            rest={t('common.others')}
            bars={data.by_level.map((row) => ({
              key: row.value ?? 'none',
              count: row.count,
              label:
                row.value === null ? (
                  t('common.unknown')
                ) : (
                  <Link to="/devices" search={{ level: [row.value] }}>
                    {t('overview.level', { level: row.value, name: t(`level.${row.value}`) })}
                  </Link>
                ),
            }))}
          />
        </Panel>
      </div>
      <div className="grid grid-wide">
        <TalkersPanel data={data} />
        <Panel title={t('overview.protocols')} bare>
          <div className="scroll">
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">{t('traffic.protocol')}</th>
                  <th scope="col" className="number">
                    {t('traffic.connections')}
                  </th>
                  <th scope="col" className="number">
                    {t('traffic.packets')}
                  </th>
                  <th scope="col" className="number">
                    {t('traffic.bytes')}
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.protocols.slice(0, 16).map((row) => (
                  <tr key={row.protocol}>
                    <td>
                      <Link to="/devices" search={{ protocol: row.protocol }}>
                        {row.title}
                      </Link>{' '}
                      {row.industrial && <span className="tag">{t('traffic.industrial')}</span>}
                    </td>
                    <td className="number">{formatCount(row.connections)}</td>
                    <td className="number">{formatCount(row.packets)}</td>
                    <td className="number">{formatBytes(row.bytes)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Panel>
        {data.captures.length > 0 && <CapturesPanel data={data} />}
        <CoveragePanel coverage={data.coverage} />
      </div>
    </>
  );
}

function CapturesPanel({ data }: { data: OverviewData }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t('overview.captures')} bare>
      <div className="scroll">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">{t('evidence.file')}</th>
              <th scope="col" className="number">
                {t('overview.frames')}
              </th>
              <th scope="col">{t('overview.fromTo')}</th>
            </tr>
          </thead>
          <tbody>
            {data.captures.map((row) => (
              <tr key={row.file}>
                <td className="mono">{visible(row.file)}</td>
                <td className="number">{formatCount(row.frames)}</td>
                <td className="mono">
                  {row.first_seen !== null && formatTime(row.first_seen)}
                  <br />
                  {row.last_seen !== null && formatTime(row.last_seen)}
                  {row.cut_off !== null && (
                    <div>
                      {t('overview.cutOff')} {row.cut_off}
                    </div>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function WritersPanel({ data }: { data: OverviewData }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t('overview.writers')} note={t('overview.writersNote')} bare>
      {data.writers.length === 0 ? (
        <p className="empty">{t('overview.noWriters')}</p>
      ) : (
        <div className="scroll">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">{t('overview.who')}</th>
                <th scope="col">{t('operation.action')}</th>
                <th scope="col">{t('overview.onWhat')}</th>
                <th scope="col">{t('traffic.protocol')}</th>
                <th scope="col">{t('overview.how')}</th>
                <th scope="col" className="number">
                  {t('common.times')}
                </th>
              </tr>
            </thead>
            <tbody>
              {data.writers.map((row) => (
                <tr
                  key={[row.client, row.server, row.server_child, row.protocol, row.action].join()}
                >
                  <td>
                    <DeviceLink device={row.client_device} address={row.client} />
                  </td>
                  <td>{t(`action.${row.action}`)}</td>
                  <td>
                    <DeviceLink
                      device={row.server_device}
                      address={row.server}
                      child={row.server_child}
                    />
                  </td>
                  <td>{row.protocol}</td>
                  <td>{visible(row.names.join(', '))}</td>
                  <td className="number">
                    {formatCount(row.count)}
                    {row.refused > 0 && (
                      <span className="quiet">
                        {' '}
                        {t('overview.refused', { count: row.refused })}
                      </span>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function TalkersPanel({ data }: { data: OverviewData }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t('overview.talkers')} bare>
      <div className="scroll">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">{t('traffic.client')}</th>
              <th scope="col">{t('traffic.server')}</th>
              <th scope="col">{t('traffic.protocol')}</th>
              <th scope="col" className="number">
                {t('traffic.bytes')}
              </th>
            </tr>
          </thead>
          <tbody>
            {data.talkers.map((row) => (
              <tr key={`${row.client} ${row.server}`}>
                <td>
                  <DeviceLink device={row.client_device} address={row.client} />
                </td>
                <td>
                  <DeviceLink device={row.server_device} address={row.server} />
                </td>
                <td>{row.protocols.join(', ')}</td>
                <td className="number">{formatBytes(row.bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
