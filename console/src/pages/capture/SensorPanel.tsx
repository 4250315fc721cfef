import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Capture } from '../../api/client';
import { Panel } from '../../components/Panel';
import { formatBytes, formatCount, formatTime } from '../../lib/format';

/** The sensor's processes, its packet ring and its disk. */
export function SensorPanel({ data }: { data: Capture }): ReactNode {
  const { t } = useTranslation();
  const { ring } = data;
  return (
    <Panel title={t('capture.sensor')} bare>
      <table className="table">
        <tbody>
          {data.processes.map((row) => (
            <tr key={row.name}>
              <th scope="row">{t(`capture.process.${row.name}`)}</th>
              <td>
                {row.running && row.since !== null ? (
                  t('capture.running', { since: formatTime(row.since).slice(0, 19) })
                ) : (
                  <span className="lost">{t('capture.stopped')}</span>
                )}
                {row.restarts > 0 && (
                  <span className="quiet"> {t('capture.restarts', { count: row.restarts })}</span>
                )}
              </td>
            </tr>
          ))}
          <Stages data={data} />
          {ring !== null && (
            <>
              <tr>
                <th scope="row">{t('capture.ring')}</th>
                <td>
                  {ring.oldest === null
                    ? t('capture.ringEmpty')
                    : t('capture.ringHolds', {
                        size: formatBytes(ring.bytes),
                        oldest: formatTime(ring.oldest).slice(0, 19),
                      })}
                </td>
              </tr>
              <tr>
                <th scope="row">{t('capture.pins')}</th>
                <td>{formatCount(ring.pins)}</td>
              </tr>
            </>
          )}
          {Object.entries(data.not_kept)
            .sort()
            .map(([cause, count]) => (
              <tr key={cause}>
                <th scope="row">{t('capture.notKept')}</th>
                <td className="lost">
                  {formatCount(count)}: {t(`capture.notKeptCauses.${cause}`)}
                </td>
              </tr>
            ))}
          {data.disk_bytes > 0 && (
            <tr>
              <th scope="row">{t('capture.disk')}</th>
              <td>
                {t('capture.diskFree', {
                  free: formatBytes(data.disk_free),
                  size: formatBytes(data.disk_bytes),
                })}
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </Panel>
  );
}

/** How far the last canary came: every stage of the way from capture to console. */
function Stages({ data: { stages } }: { data: Capture }): ReactNode {
  const { t } = useTranslation();
  if (stages.length === 0) {
    return null;
  }
  return (
    <tr>
      <th scope="row">{t('capture.stages')}</th>
      <td>
        <ul className="plain">
          {stages.map((row) => (
            <li key={row.name} className={row.silent_since === null ? undefined : 'lost'}>
              {t(`capture.stage.${row.name}`)}{' '}
              {row.passed === null ? (
                <span className="quiet">{t('capture.stageWaits')}</span>
              ) : (
                <span className="quiet">{formatTime(row.passed).slice(11, 19)}</span>
              )}
            </li>
          ))}
        </ul>
      </td>
    </tr>
  );
}
