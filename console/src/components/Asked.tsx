import { Loader } from '@mantine/core';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

interface AskedProps<T> {
  query: UseQueryResult<T>;
  children: (data: T) => ReactNode;
}

/** What was asked for, once it is there; else that it is on its way, or why it is not. */
export function Asked<T>({ query, children }: AskedProps<T>): ReactNode {
  const { t } = useTranslation();
  if (query.data !== undefined) {
    return children(query.data);
  }
  if (query.error !== null) {
    return (
      <p className="notice" role="alert">
        {query.error.message}
      </p>
    );
  }
  return (
    <div className="empty" role="status">
      <Loader size="xs" aria-hidden="true" /> {t('common.loading')}
    </div>
  );
}
