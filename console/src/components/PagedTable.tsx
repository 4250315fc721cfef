import { Button } from '@mantine/core';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { formatCount } from '../lib/format';
import { Asked } from './Asked';
import { Panel } from './Panel';

interface PagedTableProps<Row> {
  title: string;
  queryKey: unknown[];
  ask: (offset: number, limit: number) => Promise<{ items: Row[]; total: number }>;
  head: string[];
  row: (row: Row) => ReactNode;
}

const ROWS = 100;

/** A table with pages, for lists that belong to one thing. */
export function PagedTable<Row>({
  title,
  queryKey,
  ask,
  head,
  row,
}: PagedTableProps<Row>): ReactNode {
  const { t } = useTranslation();
  const [page, setPage] = useState(0);
  const found = useQuery({
    queryKey: [...queryKey, page],
    queryFn: () => ask(page * ROWS, ROWS),
    placeholderData: keepPreviousData,
  });
  return (
    <Asked query={found}>
      {({ items, total }) => (
        <Panel title={title} note={formatCount(total)} bare>
          {total === 0 ? (
            <p className="empty">{t('common.nothing')}</p>
          ) : (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls needs the keyboard
            <section className="scroll" aria-label={title} tabIndex={0}>
              <table className="table">
                <thead>
                  <tr>
                    {head.map((label) => (
                      <th key={label} scope="col">
                        {label}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>{items.map(row)}</tbody>
              </table>
            </section>
          )}
          {total > ROWS && (
            <div className="panel-body page-tools">
              <Button
                size="xs"
                variant="default"
                disabled={page === 0}
                onClick={() => setPage(page - 1)}
              >
                {t('common.previous')}
              </Button>
              <span>
                {formatCount(page * ROWS + 1)}–{formatCount(Math.min((page + 1) * ROWS, total))}{' '}
                {t('common.of')} {formatCount(total)}
              </span>
              <Button
                size="xs"
                variant="default"
                disabled={(page + 1) * ROWS >= total}
                onClick={() => setPage(page + 1)}
                style={{ marginLeft: 0 }}
              >
                {t('common.next')}
              </Button>
            </div>
          )}
        </Panel>
      )}
    </Asked>
  );
}
