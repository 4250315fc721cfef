import { keepPreviousData, useQueries, useQuery } from '@tanstack/react-query';
import { useCallback, useMemo, useState } from 'react';

interface Page<Row> {
  items: Row[];
  total: number;
}

interface Pages<Row, P> {
  first: P | undefined;
  total: number;
  error: Error | null;
  rowAt: (index: number) => Row | undefined;
  onRange: (first: number, last: number) => void;
}

export const PAGE_ROWS = 100;

/** A long list, fetched page by page as its rows come into sight. */
export function usePages<Row, P extends Page<Row> = Page<Row>>(
  key: unknown[],
  ask: (offset: number) => Promise<P>,
): Pages<Row, P> {
  const [range, setRange] = useState<[number, number]>([0, 0]);
  const start = useQuery({
    queryKey: [...key, 0],
    queryFn: () => ask(0),
    placeholderData: keepPreviousData,
  });
  const wanted = useMemo(() => {
    const last = Math.floor(range[1] / PAGE_ROWS);
    const pages: number[] = [];
    for (let page = Math.max(1, Math.floor(range[0] / PAGE_ROWS)); page <= last; page += 1) {
      pages.push(page);
    }
    return pages;
  }, [range]);
  const more = useQueries({
    queries: wanted.map((page) => ({
      queryKey: [...key, page],
      queryFn: () => ask(page * PAGE_ROWS),
    })),
  });
  const rowAt = useCallback(
    (index: number): Row | undefined => {
      const page = Math.floor(index / PAGE_ROWS);
      const data = page === 0 ? start.data : more[wanted.indexOf(page)]?.data;
      return data?.items[index % PAGE_ROWS];
    },
    [start.data, more, wanted],
  );
  const onRange = useCallback(
    (first: number, last: number) =>
      setRange((known) => (known[0] === first && known[1] === last ? known : [first, last])),
    [],
  );
  return { first: start.data, total: start.data?.total ?? 0, error: start.error, rowAt, onRange };
}
