import { queryOptions } from '@tanstack/react-query';
import type { MapSearch } from '../lib/list-search';
import { api, rememberToken, type SessionInfo, told } from './client';

/** Who is logged in; keeps the token that changes have to carry. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: async (): Promise<SessionInfo> => {
    const session = await told(api.GET('/api/session'));
    rememberToken(session.csrf);
    return session;
  },
  staleTime: Number.POSITIVE_INFINITY,
  retry: false,
});

export const overviewQuery = queryOptions({
  queryKey: ['overview'],
  queryFn: () => told(api.GET('/api/overview')),
});

export const captureQuery = queryOptions({
  queryKey: ['capture'],
  queryFn: () => told(api.GET('/api/capture')),
});

/** A sensor at work is judged anew as time goes on. */
export const mirrorQuery = (period: 'all' | undefined, live: boolean) =>
  queryOptions({
    queryKey: ['mirror', period],
    queryFn: () =>
      told(api.GET('/api/mirror', { params: { query: period === undefined ? {} : { period } } })),
    refetchInterval: live ? 5_000 : false,
  });

/** How the sensor is set up; asked anew when the page opens, as the file may have changed. */
export const setupQuery = queryOptions({
  queryKey: ['setup'],
  queryFn: () => told(api.GET('/api/setup')),
  staleTime: 0,
});

const PREVIEW_MS = 2000;

/** The machine's interfaces and what comes in, watched as long as somebody looks. */
export const portsQuery = queryOptions({
  queryKey: ['setup-ports'],
  queryFn: () => told(api.GET('/api/setup/interfaces')),
  refetchInterval: PREVIEW_MS,
  staleTime: 0,
});

export const deviceQuery = (device: string) =>
  queryOptions({
    queryKey: ['device', device],
    queryFn: () => told(api.GET('/api/devices/{device}', { params: { path: { device } } })),
  });

export const mapQuery = (search: MapSearch) =>
  queryOptions({
    queryKey: ['map', search],
    queryFn: () =>
      told(
        api.GET('/api/map', {
          params: {
            query: {
              q: search.q ?? null,
              protocol: search.protocol ?? null,
              industrial: search.industrial ?? false,
              open: search.open ?? null,
            },
          },
        }),
      ),
  });

export const alertQuery = (alert: string) =>
  queryOptions({
    queryKey: ['alert', alert],
    queryFn: () => told(api.GET('/api/alerts/{alert}', { params: { path: { alert } } })),
  });

export const framesQuery = (file: string, frame: number, span: string[], decode: string) =>
  queryOptions({
    queryKey: ['frames', file, frame, span, decode],
    queryFn: () =>
      told(
        api.GET('/api/frames', {
          params: { query: { file, frame, span: span.length > 0 ? span : null, decode } },
        }),
      ),
  });

export const usersQuery = queryOptions({
  queryKey: ['users'],
  queryFn: () => told(api.GET('/api/users')),
});

export const auditQuery = queryOptions({
  queryKey: ['audit'],
  queryFn: () => told(api.GET('/api/audit', { params: { query: { limit: 200 } } })),
});
