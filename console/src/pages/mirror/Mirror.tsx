import { Button, SegmentedControl } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Mirror as MirrorData } from '../../api/client';
import { mirrorQuery, sessionQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { Grade } from '../../components/Grade';
import { Panel } from '../../components/Panel';
import { formatTime } from '../../lib/format';
import { Findings } from './Findings';
import { Connections, Counters, Lanes, Protocols } from './tables';

const route = getRouteApi('/shell/mirror');

/** How good the mirror is: what is wrong with it and what mends it, and a grade for every part. */
export function Mirror(): ReactNode {
  const { t } = useTranslation();
  const { period } = route.useSearch();
  const navigate = route.useNavigate();
  const session = useQuery(sessionQuery);
  const live = session.data?.live === true;
  const mirror = useQuery(mirrorQuery(period, live));
  return (
    <>
      <div className="page-head">
        <h1>{t('mirror.title')}</h1>
        {mirror.data !== undefined && <Grade grade={mirror.data.grade} />}
        {live && (
          <SegmentedControl
            size="xs"
            aria-label={t('mirror.period')}
            value={period ?? 'recent'}
            onChange={(value) =>
              void navigate({ search: value === 'all' ? { period: 'all' } : {}, replace: true })
            }
            data={[
              { value: 'recent', label: t('mirror.recent') },
              { value: 'all', label: t('mirror.all') },
            ]}
          />
        )}
        <Button
          size="xs"
          variant="default"
          component="a"
          href={`/api/mirror/report${period === undefined ? '' : `?period=${period}`}`}
          download
          className="push"
        >
          {t('mirror.download')}
        </Button>
      </div>
      <Asked query={mirror}>{(data) => <Content data={data} />}</Asked>
    </>
  );
}

function Content({ data }: { data: MirrorData }): ReactNode {
  const { t } = useTranslation();
  return (
    <>
      <p className="quiet">
        {data.until === null
          ? t('mirror.nothing')
          : t('mirror.judged', {
              since: formatTime(data.since ?? data.until).slice(0, 19),
              until: formatTime(data.until).slice(0, 19),
            })}
      </p>
      <Findings findings={data.findings} nothing={t('mirror.clean')} />
      {data.commissioning !== null && (
        <Panel
          title={t('mirror.commissioning')}
          note={t('mirror.commissioned', {
            time: formatTime(data.commissioning.time).slice(0, 19),
          })}
        >
          <Grade grade={data.commissioning.grade} />{' '}
          {data.commissioning.findings.length === 0
            ? t('mirror.clean')
            : data.commissioning.findings.map((finding) => finding.title).join(', ')}
        </Panel>
      )}
      <Lanes lanes={data.lanes} />
      <Protocols rows={data.protocols} />
      <Counters rows={data.counters} />
      <Connections rows={data.connections} />
    </>
  );
}
