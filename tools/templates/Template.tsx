import { queryOptions, useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api, told } from '../../api/client';
import { Asked } from '../../components/Asked';
import { Panel } from '../../components/Panel';

export const templateQuery = queryOptions({
  queryKey: ['template'],
  queryFn: () => told(api.GET('/api/captures')),
});

/** The captures that were read: replace by what the page is for. */
export function Template(): ReactNode {
  const { t } = useTranslation();
  const captures = useQuery(templateQuery);
  return (
    <>
      <div className="page-head">
        <h1>{t('template.title')}</h1>
      </div>
      <Panel title={t('template.captures')}>
        <Asked query={captures}>
          {(rows) => (
            <ul>
              {rows.map((row) => (
                <li key={row.file}>{row.file}</li>
              ))}
            </ul>
          )}
        </Asked>
      </Panel>
    </>
  );
}
