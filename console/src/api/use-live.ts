import { type QueryClient, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { captureQuery, sessionQuery } from './queries';

/** What the sensor says when something is new. */
export interface News {
  /** Counts changes of devices and alerts. */
  looks: number;
  /** Counts what was captured. */
  batch: number;
}

/** Frames never change; who is logged in is asked again when the API refuses. */
const LASTING = new Set<unknown>([sessionQuery.queryKey[0], captureQuery.queryKey[0], 'frames']);

/** Keeps all pages up to date while the sensor is at work, without a reload. */
export function useLive(live: boolean): void {
  const queries = useQueryClient();
  useEffect(() => {
    if (!live) {
      return;
    }
    // Reconnects by itself.
    const source = new EventSource('/api/live');
    let last: News | undefined;
    source.addEventListener('news', (event: MessageEvent<string>) => {
      const news = JSON.parse(event.data) as News;
      refresh(queries, last, news);
      last = news;
    });
    return () => source.close();
  }, [live, queries]);
}

/** Asks again for what the news are about. */
export function refresh(queries: QueryClient, last: News | undefined, news: News): void {
  if (last?.batch !== news.batch) {
    void queries.invalidateQueries({ queryKey: captureQuery.queryKey }, { cancelRefetch: false });
  }
  if (last?.looks !== news.looks) {
    void queries.invalidateQueries(
      { predicate: (query) => !LASTING.has(query.queryKey[0]) },
      { cancelRefetch: false },
    );
  }
}
