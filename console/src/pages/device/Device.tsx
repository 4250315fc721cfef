import { Button, Tabs } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { DeviceDetail } from '../../api/client';
import { deviceQuery, sessionQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { Seen } from '../../components/Grade';
import { Panel } from '../../components/Panel';
import { RingButton } from '../../components/RingButton';
import { SeverityCounts } from '../../components/Severity';
import { formatTime, visible } from '../../lib/format';
import { DEVICE_TABS } from '../../lib/list-search';
import { DeviceAlerts } from './DeviceAlerts';
import { DeviceConnections } from './DeviceConnections';
import { DeviceOperations } from './DeviceOperations';
import { IdentityTable } from './IdentityTable';

const route = getRouteApi('/shell/devices/$device');

/** Everything known about one device. */
export function Device(): ReactNode {
  const { device } = route.useParams();
  const found = useQuery(deviceQuery(device));
  return <Asked query={found}>{(detail) => <Content detail={detail} />}</Asked>;
}

function Content({ detail }: { detail: DeviceDetail }): ReactNode {
  const { t } = useTranslation();
  const { tab = 'identity' } = route.useSearch();
  const navigate = route.useNavigate();
  const session = useQuery(sessionQuery);
  const { device } = detail;
  const choose = (value: string | null): void => {
    const next = DEVICE_TABS.find((entry) => entry === value) ?? 'identity';
    void navigate({ search: next === 'identity' ? {} : { tab: next }, replace: true });
  };
  return (
    <>
      <div className="page-head">
        <h1>{visible(device.name)}</h1>
        <span>
          {device.type}
          {device.purdue_level !== null &&
            ` · ${t('overview.level', { level: device.purdue_level, name: t(`level.${device.purdue_level}`) })}`}
        </span>
        <SeverityCounts counts={device.alerts} />
        {session.data?.permissions.includes('packets:download') && (
          <Button
            size="xs"
            variant="default"
            component="a"
            href={`/api/devices/${device.id}/pcap`}
            download
            className="push"
          >
            {t('evidence.download')}
          </Button>
        )}
        <RingButton wanted={{ device: device.id }} />
      </div>
      <Tabs value={tab} onChange={choose} keepMounted={false}>
        <Tabs.List aria-label={t('device.parts')}>
          {DEVICE_TABS.map((name) => (
            <Tabs.Tab key={name} value={name}>
              {t(`device.tab.${name}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="identity" pt="sm">
          <Identity detail={detail} />
        </Tabs.Panel>
        <Tabs.Panel value="connections" pt="sm">
          <DeviceConnections device={device.id} />
        </Tabs.Panel>
        <Tabs.Panel value="operations" pt="sm">
          <DeviceOperations device={device.id} />
        </Tabs.Panel>
        <Tabs.Panel value="alerts" pt="sm">
          <DeviceAlerts device={device.id} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

function Identity({ detail }: { detail: DeviceDetail }): ReactNode {
  const { t } = useTranslation();
  const { device } = detail;
  return (
    <div className="split">
      <Panel title={t('device.identity')} note={t('device.identityNote')} bare>
        <IdentityTable attributes={detail.attributes} />
      </Panel>
      <div style={{ display: 'grid', gap: '0.8rem' }}>
        <Panel title={t('device.about')}>
          <dl className="facts">
            {device.parent !== null && (
              <>
                <dt>{t('device.parent')}</dt>
                <dd>
                  <Link to="/devices/$device" params={{ device: device.parent.id }}>
                    {visible(device.parent.name)}
                  </Link>{' '}
                  <span className="mono">{visible(device.child_address ?? '')}</span>
                </dd>
              </>
            )}
            <dt>{t('device.roles')}</dt>
            <dd>{detail.roles.join(', ') || '–'}</dd>
            <dt>{t('device.protocols')}</dt>
            <dd>{device.protocols.join(', ') || '–'}</dd>
            {detail.vlans.length > 0 && (
              <>
                <dt>{t('traffic.vlans')}</dt>
                <dd>{detail.vlans.join(', ')}</dd>
              </>
            )}
            {device.space !== 'default' && (
              <>
                <dt>{t('device.space')}</dt>
                <dd>{visible(device.space)}</dd>
              </>
            )}
            <dt>{t('grade.title')}</dt>
            <dd>
              <Seen coverage={device.coverage} />
            </dd>
            <dt>{t('device.firstSeen')}</dt>
            <dd className="mono">{formatTime(device.first_seen)}</dd>
            <dt>{t('device.lastSeen')}</dt>
            <dd className="mono">{formatTime(device.last_seen)}</dd>
          </dl>
        </Panel>
        {detail.addresses.length > 0 && (
          <Panel title={t('device.addresses')} bare>
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">{t('device.address')}</th>
                  <th scope="col">{t('device.why')}</th>
                </tr>
              </thead>
              <tbody>
                {detail.addresses.map((row) => (
                  <tr key={row.address}>
                    <td className="mono">{row.address}</td>
                    <td>
                      {row.reason}
                      {detail.contested.includes(row.address) && (
                        <span className="tag tag-contradicts">{t('device.contested')}</span>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Panel>
        )}
        {detail.children.length > 0 && (
          <Panel title={t('device.children')} bare>
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">{t('device.childAddress')}</th>
                  <th scope="col">{t('device.type')}</th>
                  <th scope="col">{t('device.model')}</th>
                </tr>
              </thead>
              <tbody>
                {detail.children.map((row) => (
                  <tr key={row.id}>
                    <td>
                      <Link to="/devices/$device" params={{ device: row.id }}>
                        {visible(row.child_address ?? row.name)}
                      </Link>
                    </td>
                    <td>{row.type}</td>
                    <td>{visible(row.model ?? '–')}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Panel>
        )}
        <Refs title={t('device.members')} refs={detail.members} />
        <Refs title={t('device.groups')} refs={detail.groups} />
      </div>
    </div>
  );
}

/** Links to other devices; nothing where there are none. */
function Refs({ title, refs }: { title: string; refs: DeviceDetail['members'] }): ReactNode {
  return (
    refs.length > 0 && (
      <Panel title={title}>
        {refs.map((row) => (
          <div key={row.id}>
            <Link to="/devices/$device" params={{ device: row.id }}>
              {visible(row.name)}
            </Link>
          </div>
        ))}
      </Panel>
    )
  );
}
