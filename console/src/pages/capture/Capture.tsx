import { Button } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api, type Capture as CaptureData, told } from '../../api/client';
import { captureQuery, sessionQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { Panel } from '../../components/Panel';
import { formatTime, visible } from '../../lib/format';
import { Interfaces } from './Interfaces';
import { PacketsForm } from './PacketsForm';
import { SensorPanel } from './SensorPanel';

/** How capture is: interfaces, what was lost and why, when nothing was seen, learning. */
export function Capture(): ReactNode {
  const { t } = useTranslation();
  const capture = useQuery(captureQuery);
  const session = useQuery(sessionQuery);
  return (
    <>
      <div className="page-head">
        <h1>{t('capture.title')}</h1>
        {session.data?.live && session.data.permissions.includes('sensor:set-up') && (
          <Button
            size="compact-sm"
            variant="default"
            className="push"
            renderRoot={(props) => <Link to="/setup" {...props} />}
          >
            {t('capture.setUp')}
          </Button>
        )}
      </div>
      <Asked query={capture}>
        {(data) => (
          <>
            {data.live && !data.supervised && (
              <p className="notice" role="alert">
                {t('capture.notSupervised')}
              </p>
            )}
            {session.data?.set_up === false && (
              <p className="notice" role="alert">
                {t('capture.notSetUp')}
              </p>
            )}
            {data.stages
              .filter((stage) => stage.silent_since !== null)
              .map((stage) => (
                <p key={stage.name} className="notice" role="alert">
                  {t('capture.stageSilent', {
                    stage: t(`capture.stage.${stage.name}`),
                    process: t(`capture.process.${stage.process}`),
                    since: formatTime(stage.silent_since ?? '').slice(0, 19),
                  })}
                </p>
              ))}
            <Learning data={data} />
            <Interfaces interfaces={data.interfaces} />
            <div className="grid grid-wide">
              <Blinds data={data} />
              <SensorPanel data={data} />
            </div>
            <PacketsForm />
          </>
        )}
      </Asked>
    </>
  );
}

function Learning({ data: { learning } }: { data: CaptureData }): ReactNode {
  const { t } = useTranslation();
  const session = useQuery(sessionQuery);
  const queries = useQueryClient();
  const end = useMutation({
    mutationFn: () => told(api.POST('/api/capture/learning/end')),
    onSettled: () => queries.invalidateQueries(captureQuery),
  });
  if (learning === null) {
    return null;
  }
  return (
    <section className="panel">
      <div className="panel-body learning">
        <span>
          {learning.until === null
            ? t('capture.learningNow', { observed: learning.observed_s })
            : t('capture.learned', { until: formatTime(learning.until).slice(0, 19) })}
        </span>
        {learning.active && session.data?.permissions.includes('learning:decide') && (
          <Button
            size="compact-sm"
            variant="default"
            loading={end.isPending}
            onClick={() => end.mutate()}
          >
            {t('capture.endLearning')}
          </Button>
        )}
      </div>
      {end.error !== null && (
        <p className="notice" role="alert">
          {end.error.message}
        </p>
      )}
    </section>
  );
}

function Blinds({ data }: { data: CaptureData }): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t('capture.blinds')} bare>
      {data.blinds.length === 0 ? (
        <p className="empty">{t('capture.noBlinds')}</p>
      ) : (
        <div className="scroll">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">{t('capture.interface')}</th>
                <th scope="col">{t('capture.from')}</th>
                <th scope="col">{t('capture.to')}</th>
                <th scope="col">{t('capture.cause')}</th>
              </tr>
            </thead>
            <tbody>
              {data.blinds.map((row) => (
                <tr key={`${row.interface} ${row.start}`}>
                  <td>{visible(row.interface) || t('capture.allInterfaces')}</td>
                  <td className="mono">{formatTime(row.start)}</td>
                  <td className="mono">{formatTime(row.end)}</td>
                  <td>{t(`capture.blindCauses.${row.cause}`)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
