import '@mantine/core/styles.css';
import './styles.css';
import { localStorageColorSchemeManager, MantineProvider } from '@mantine/core';
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { queryClient, whenSessionEnds } from './api/query-client';
import { startI18n } from './i18n';
import { router } from './router';
import { theme, variables } from './theme';

const colorScheme = localStorageColorSchemeManager({ key: 'otic-color-scheme' });

whenSessionEnds(() => void router.invalidate());

const root = document.getElementById('root');
if (root !== null) {
  await startI18n();
  createRoot(root).render(
    <StrictMode>
      <MantineProvider
        theme={theme}
        cssVariablesResolver={variables}
        defaultColorScheme="auto"
        colorSchemeManager={colorScheme}
      >
        <QueryClientProvider client={queryClient}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}
