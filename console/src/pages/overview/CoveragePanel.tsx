import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Overview } from '../../api/client';
import { Grade } from '../../components/Grade';
import { Panel } from '../../components/Panel';
import { formatBytes, formatCount } from '../../lib/format';

/** What could not be seen, or was seen twice, each with its cause. */
export function CoveragePanel({ coverage }: { coverage: Overview['coverage'] }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel
      title={t('coverage.title')}
      note={
        <>
          <Link to="/mirror">
            {t('coverage.mirror')} <Grade grade={coverage.grade} />
          </Link>{' '}
          {t('coverage.read', {
            frames: formatCount(coverage.frames),
            bytes: formatBytes(coverage.bytes),
          })}
        </>
      }
      bare
    >
      {coverage.causes.length === 0 ? (
        <p className="empty">{t('coverage.whole')}</p>
      ) : (
        <div className="scroll">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">{t('coverage.cause')}</th>
                <th scope="col" className="number">
                  {t('common.count')}
                </th>
              </tr>
            </thead>
            <tbody>
              {coverage.causes.map((cause) => (
                <tr key={`${cause.kind} ${cause.name}`}>
                  <td>
                    {t(`coverage.kind.${cause.kind}`)}
                    {cause.name !== '' && <span className="mono"> {cause.name}</span>}
                  </td>
                  <td className="number">{formatCount(cause.count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
