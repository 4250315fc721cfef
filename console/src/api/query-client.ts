import { QueryCache, QueryClient } from '@tanstack/react-query';
import { Refusal } from './client';
import { sessionQuery } from './queries';

let onSessionEnd: () => void = () => undefined;

/** What happens when the API says that nobody is logged in any more. */
export function whenSessionEnds(react: () => void): void {
  onSessionEnd = react;
}

export const queryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      const asksWho = query.queryKey[0] === sessionQuery.queryKey[0];
      if (error instanceof Refusal && error.status === 401 && !asksWho) {
        queryClient.removeQueries(sessionQuery);
        onSessionEnd();
      }
    },
  }),
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      refetchOnWindowFocus: false,
      retry: (failures, error) => !(error instanceof Refusal) && failures < 2,
    },
  },
});
