import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { AlertDetail, Side } from '../../api/client';
import { alertQuery, sessionQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { DeviceLink } from '../../components/DeviceLink';
import { Grade } from '../../components/Grade';
import { Panel } from '../../components/Panel';
import { RingButton } from '../../components/RingButton';
import { Severity } from '../../components/Severity';
import { citedFrames, placesOf } from '../../lib/evidence';
import { formatCount, formatTime, visible } from '../../lib/format';

const route = getRouteApi('/shell/alerts/$alert');

/** One alert: what it means, what to do, who takes part, and the frames that prove it. */
export function Alert(): ReactNode {
  const { alert } = route.useParams();
  const found = useQuery(alertQuery(alert));
  return <Asked query={found}>{(detail) => <Content detail={detail} />}</Asked>;
}

function Content({ detail }: { detail: AlertDetail }): ReactNode {
  const { t } = useTranslation();
  const { alert } = detail;
  return (
    <>
      <div className="page-head">
        <Severity severity={alert.severity} />
        <h1>{alert.title}</h1>
        <span className="quiet">
          {t(`engine.${alert.engine}`)} · {alert.category}
        </span>
      </div>
      <p style={{ margin: 0, fontSize: '0.9375rem', overflowWrap: 'anywhere' }}>
        {visible(alert.text)}
      </p>
      {alert.policy && <p className="quiet">{t('alerts.wouldBeNote')}</p>}
      <div className="split">
        <div style={{ display: 'grid', gap: '0.8rem', minWidth: 0 }}>
          <Panel title={t('alert.meaning')}>
            <div className="prose">
              <h3>{t('alert.explanation')}</h3>
              <p>{detail.explanation}</p>
              <h3>{t('alert.falsePositives')}</h3>
              <p>{detail.false_positives}</p>
              <h3>{t('alert.remediation')}</h3>
              <p>{detail.remediation}</p>
            </div>
          </Panel>
          <Evidence detail={detail} />
        </div>
        <div style={{ display: 'grid', gap: '0.8rem' }}>
          <Panel title={t('alert.parties')}>
            <dl className="facts">
              <dt>{t('alerts.source')}</dt>
              <dd>
                <Sides sides={alert.sources} />
              </dd>
              <dt>{t('alerts.destination')}</dt>
              <dd>
                <Sides sides={alert.destinations} />
              </dd>
              <dt>{t('device.firstSeen')}</dt>
              <dd className="mono">{formatTime(alert.first_seen)}</dd>
              <dt>{t('device.lastSeen')}</dt>
              <dd className="mono">{formatTime(alert.last_seen)}</dd>
              <dt>{t('common.times')}</dt>
              <dd>{formatCount(alert.count)}</dd>
              <dt>{t('grade.title')}</dt>
              <dd>
                <Grade grade={alert.grade} />
              </dd>
              {alert.space !== 'default' && (
                <>
                  <dt>{t('device.space')}</dt>
                  <dd>{visible(alert.space)}</dd>
                </>
              )}
            </dl>
          </Panel>
          <Panel title={t('alert.details')}>
            <dl className="facts">
              {Object.entries(detail.values)
                .filter(([, value]) => value !== '')
                .map(([name, value]) => (
                  <div key={name} style={{ display: 'contents' }}>
                    <dt>{name.replace(/^values\./, '').replaceAll('_', ' ')}</dt>
                    <dd>{visible(value)}</dd>
                  </div>
                ))}
              <dt>{t('alert.rule')}</dt>
              <dd className="mono">{alert.rule}</dd>
              <dt>{t('alert.ruleSource')}</dt>
              <dd>{detail.source}</dd>
              {alert.attack.length > 0 && (
                <>
                  <dt>{t('alert.attack')}</dt>
                  <dd>
                    {alert.attack.map((technique) => (
                      <div key={technique.id}>
                        <span className="mono">{technique.id}</span> {technique.name}
                      </div>
                    ))}
                  </dd>
                </>
              )}
            </dl>
          </Panel>
        </div>
      </div>
    </>
  );
}

function Sides({ sides }: { sides: Side[] }): ReactNode {
  return sides.length === 0
    ? '–'
    : sides.map((side) => (
        <div key={side.address}>
          <DeviceLink device={side.device} address={side.address} />
        </div>
      ));
}

function Evidence({ detail }: { detail: AlertDetail }): ReactNode {
  const { t } = useTranslation();
  const session = useQuery(sessionQuery);
  const frames = citedFrames(detail.evidence);
  const places = new Map(placesOf(detail.evidence).map((place) => [place.file, place]));
  return (
    <Panel
      title={t('alert.evidence')}
      note={
        <span className="buttons">
          {session.data?.permissions.includes('packets:download') && frames.length > 0 && (
            <Button
              size="compact-xs"
              variant="default"
              component="a"
              href={`/api/alerts/${detail.alert.id}/pcap`}
              download
            >
              {t('evidence.download')}
            </Button>
          )}
          <RingButton wanted={{ alert: detail.alert.id }} />
        </span>
      }
      bare
    >
      {frames.length === 0 ? (
        <p className="empty">{t('alert.noEvidence')}</p>
      ) : (
        <table className="table">
          <thead>
            <tr>
              <th scope="col">{t('evidence.file')}</th>
              <th scope="col" className="number">
                {t('evidence.frame')}
              </th>
              <th scope="col" className="number">
                {t('evidence.citedBytes')}
              </th>
              <th scope="col">{t('evidence.title')}</th>
            </tr>
          </thead>
          <tbody>
            {frames.map((row) => {
              const place = places.get(row.file);
              return (
                <tr key={`${row.file} ${row.frame}`}>
                  <td className="mono">{visible(row.file)}</td>
                  <td className="number">{formatCount(row.frame)}</td>
                  <td className="number">{formatCount(row.bytes)}</td>
                  <td>
                    {place !== undefined && (
                      <Link to="/evidence" search={{ ...place, frame: row.frame }}>
                        {t('evidence.showBytes')}
                        <span className="hidden-text">
                          {' '}
                          {t('evidence.frame')} {row.frame}
                        </span>
                      </Link>
                    )}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </Panel>
  );
}
