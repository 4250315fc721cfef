import { Button } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { FrameOut, Frames } from '../../api/client';
import { framesQuery, sessionQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { Panel } from '../../components/Panel';
import { spansOf } from '../../lib/evidence';
import { formatCount, formatDifference, formatTime, visible } from '../../lib/format';
import { summarize } from '../../lib/frame-summary';
import { bytesOf, hexByte } from '../../lib/hex';
import { HexView } from './HexView';

const route = getRouteApi('/shell/evidence');

/** The bytes behind a value: the frame, what is cited in it, and what the bytes give. */
export function Evidence(): ReactNode {
  const { t } = useTranslation();
  const { file, frame, spans, decode } = route.useSearch();
  const session = useQuery(sessionQuery);
  const found = useQuery({
    ...framesQuery(file, frame, spansOf(spans), decode),
    placeholderData: keepPreviousData,
  });
  return (
    <>
      <div className="page-head">
        <h1>
          {t('evidence.frame')} {formatCount(frame)}
        </h1>
        <span className="quiet mono">{visible(file)}</span>
        {session.data?.permissions.includes('packets:download') && found.data !== undefined && (
          <Button
            size="xs"
            variant="default"
            component="a"
            href={`/api/frames/pcap?file=${encodeURIComponent(file)}&frame=${frame}`}
            download
            ml="auto"
          >
            {t('evidence.downloadAround')}
          </Button>
        )}
      </div>
      <Asked query={found}>{(data) => <Content data={data} />}</Asked>
    </>
  );
}

function Content({ data }: { data: Frames }): ReactNode {
  const { t } = useTranslation();
  const shown = data.frames.find((row) => row.number === data.frame);
  if (shown === undefined) {
    return null;
  }
  const bytes = bytesOf(shown.data);
  const summary = summarize(shown.link_type, bytes);
  return (
    <div className="split split-frames">
      <div style={{ display: 'grid', gap: '0.8rem', minWidth: 0 }}>
        <Decoded data={data} />
        <Panel
          title={t('evidence.bytes')}
          note={
            summary && (
              <span className="mono">
                {summary.source} → {summary.destination} {summary.protocol}
              </span>
            )
          }
          bare
        >
          <HexView bytes={bytes} cited={shown.cited} />
        </Panel>
        <Panel title={t('evidence.about')}>
          <dl className="facts">
            <dt>{t('evidence.time')}</dt>
            <dd className="mono">{shown.time.replace('T', ' ').replace('Z', ' UTC')}</dd>
            <dt>{t('evidence.linkType')}</dt>
            <dd>{shown.link_type}</dd>
            <dt>{t('evidence.captured')}</dt>
            <dd>
              {t('evidence.lengths', {
                captured: formatCount(bytes.length),
                original: formatCount(shown.original_length),
              })}
            </dd>
          </dl>
        </Panel>
      </div>
      <Neighbours data={data} shown={shown} />
    </div>
  );
}

function Decoded({ data }: { data: Frames }): ReactNode {
  const { t } = useTranslation();
  const { decoded } = data;
  if (decoded === null) {
    return null;
  }
  const raw = [...bytesOf(decoded.data.slice(0, 64))].map(hexByte).join(' ');
  return (
    <Panel title={t('evidence.decoded')}>
      <dl className="facts">
        <dt>{t('evidence.readAs')}</dt>
        <dd>{t(`decode.${decoded.decode}`, { defaultValue: decoded.decode })}</dd>
        {decoded.decode !== 'derived' && (
          <>
            <dt>{t('evidence.value')}</dt>
            <dd>
              {decoded.value === null ? (
                <span role="alert">{decoded.problem}</span>
              ) : (
                <strong data-testid="decoded-value">{visible(decoded.value)}</strong>
              )}
            </dd>
          </>
        )}
        <dt>{t('evidence.citedBytes')}</dt>
        <dd className="mono">
          {raw}
          {decoded.data.length > 64 && ' …'}{' '}
          <span className="quiet">
            {t('evidence.countBytes', { count: decoded.data.length / 2 })}
          </span>
        </dd>
      </dl>
    </Panel>
  );
}

function Neighbours({ data, shown }: { data: Frames; shown: FrameOut }): ReactNode {
  const { t } = useTranslation();
  const search = route.useSearch();
  return (
    <Panel title={t('evidence.neighbours')} bare>
      <div className="scroll">
        <table className="table">
          <thead>
            <tr>
              <th scope="col" className="number">
                {t('evidence.frame')}
              </th>
              <th scope="col">{t('evidence.from')}</th>
              <th scope="col" className="number">
                {t('evidence.after')}
              </th>
              <th scope="col">{t('evidence.cited')}</th>
            </tr>
          </thead>
          <tbody>
            {data.frames.map((row) => {
              const summary = summarize(row.link_type, bytesOf(row.data));
              return (
                <tr
                  key={row.number}
                  className="frame-row"
                  aria-current={row.number === shown.number ? 'true' : undefined}
                >
                  <td className="number">
                    <Link to="/evidence" search={{ ...search, frame: row.number }} replace>
                      {formatCount(row.number)}
                    </Link>
                  </td>
                  <td className="mono">
                    {summary === undefined ? (
                      row.link_type
                    ) : (
                      <>
                        {summary.source} <span className="quiet">→</span> {summary.destination}{' '}
                        <span className="quiet">{summary.protocol}</span>
                      </>
                    )}
                  </td>
                  <td className="number mono" title={formatTime(row.time)}>
                    {row.number === shown.number ? '0' : formatDifference(shown.time, row.time)}
                  </td>
                  <td>
                    {row.cited.length > 0 && (
                      <span className="tag tag-used">{t('common.yes')}</span>
                    )}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
