import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { renderToString } from 'react-dom/server';
import { beforeAll, expect, test } from 'vitest';
import { startI18n } from '../../i18n';
import { Template, templateQuery } from './Template';

beforeAll(startI18n);

function page(files: string[]): string {
  const client = new QueryClient();
  client.setQueryData(
    templateQuery.queryKey,
    files.map((file) => ({
      file,
      frames: 1,
      bytes: 60,
      link_types: ['ethernet'],
      first_seen: null,
      last_seen: null,
      cut_off: null,
    })),
  );
  return renderToString(
    <QueryClientProvider client={client}>
      <Template />
    </QueryClientProvider>,
  );
}

test('the page names its captures under a heading', () => {
  const html = page(['plant.pcap']);

  expect(html).toContain('<h1>Template</h1>');
  expect(html).toContain('<li>plant.pcap</li>');
});

test('names from the wire are text, never markup', () => {
  expect(page(['<b>x</b>.pcap'])).not.toContain('<b>');
});
