import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { MonitoredInterface } from '../../api/client';
import { Panel } from '../../components/Panel';
import { formatBytes, formatCount, visible } from '../../lib/format';

const MINUTES = 60;

/** What each interface brings, second by second, and what was lost of it. */
export function Interfaces({ interfaces }: { interfaces: MonitoredInterface[] }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t('capture.interfaces')} bare>
      {interfaces.length === 0 ? (
        <p className="empty">{t('capture.none')}</p>
      ) : (
        <div className="scroll">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">{t('capture.interface')}</th>
                <th scope="col">{t('capture.state')}</th>
                <th scope="col" className="number">
                  {t('capture.perSecond')}
                </th>
                <th scope="col" className="number">
                  {t('capture.bitsPerSecond')}
                </th>
                <th scope="col" className="number">
                  {t('capture.frames')}
                </th>
                <th scope="col" className="number">
                  {t('capture.bytes')}
                </th>
                <th scope="col">{t('capture.lost')}</th>
                <th scope="col">{t('capture.lastHour')}</th>
              </tr>
            </thead>
            <tbody>
              {interfaces.map((row) => (
                <tr key={row.name}>
                  <td className="mono">{visible(row.name)}</td>
                  <td>
                    <span className={row.state === 'up' ? undefined : 'lost'}>
                      {t(`capture.states.${row.state}`)}
                    </span>
                  </td>
                  <td className="number">{formatCount(row.second.frames)}</td>
                  <td className="number">{formatBytes(row.second.bytes)}/s</td>
                  <td className="number">{formatCount(row.frames)}</td>
                  <td className="number">{formatBytes(row.bytes)}</td>
                  <td>
                    <Lost drops={row.drops} />
                  </td>
                  <td>
                    <Hour row={row} />
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

function Lost({ drops }: { drops: Record<string, number> }): ReactNode {
  const { t } = useTranslation();
  const causes = Object.entries(drops).sort();
  if (causes.length === 0) {
    return <span className="quiet">{t('capture.nothingLost')}</span>;
  }
  return (
    <ul className="plain">
      {causes.map(([cause, count]) => (
        <li key={cause} className={cause === 'filter' ? undefined : 'lost'}>
          {formatCount(count)} {t(`capture.causes.${cause}`)}
        </li>
      ))}
    </ul>
  );
}

/** A bar a minute; minutes with losses stand out. */
function Hour({ row }: { row: MonitoredInterface }): ReactNode {
  const { t } = useTranslation();
  const largest = Math.max(1, ...row.minutes.map((minute) => minute.frames));
  return (
    <svg
      className="hour"
      viewBox={`0 0 ${MINUTES * 3} 24`}
      role="img"
      aria-label={t('capture.lastHourLabel', { name: visible(row.name) })}
    >
      {row.minutes.slice(-MINUTES).map((minute, at, all) => {
        const height = Math.max(1, (minute.frames / largest) * 24);
        const lost = Object.entries(minute.drops).some(([cause]) => cause !== 'filter');
        return (
          <rect
            key={minute.start}
            x={(MINUTES - all.length + at) * 3}
            y={24 - height}
            width={2}
            height={height}
            className={lost ? 'hour-lost' : undefined}
          />
        );
      })}
    </svg>
  );
}
