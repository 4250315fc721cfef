import { QueryClient } from '@tanstack/react-query';
import { expect, test } from 'vitest';
import { refresh } from './use-live';

function client(): QueryClient {
  const queries = new QueryClient();
  for (const key of ['session', 'capture', 'frames', 'devices', 'overview']) {
    queries.setQueryData([key], {});
  }
  return queries;
}

function stale(queries: QueryClient): string[] {
  return queries
    .getQueryCache()
    .getAll()
    .filter((query) => query.state.isInvalidated)
    .map((query) => String(query.queryKey[0]))
    .sort();
}

test('a look at devices and alerts makes all pages ask again, but for frames and the session', () => {
  const queries = client();
  refresh(queries, { looks: 1, batch: 7 }, { looks: 2, batch: 7 });
  expect(stale(queries)).toEqual(['devices', 'overview']);
});

test('a batch alone concerns the capture page only', () => {
  const queries = client();
  refresh(queries, { looks: 2, batch: 7 }, { looks: 2, batch: 8 });
  expect(stale(queries)).toEqual(['capture']);
});

test('the first news and no news', () => {
  const queries = client();
  refresh(queries, { looks: 2, batch: 8 }, { looks: 2, batch: 8 });
  expect(stale(queries)).toEqual([]);
  refresh(queries, undefined, { looks: 2, batch: 8 });
  expect(stale(queries)).toEqual(['capture', 'devices', 'overview']);
});
