import { Button, NumberInput, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { sessionQuery } from '../../api/queries';
import { Panel } from '../../components/Panel';

/** Asks for frames of the packet ring by time (UTC), addresses and port. */
export function PacketsForm(): ReactNode {
  const { t } = useTranslation();
  const session = useQuery(sessionQuery);
  const [start, setStart] = useState('');
  const [end, setEnd] = useState('');
  const [hosts, setHosts] = useState('');
  const [port, setPort] = useState<string | number>('');
  if (!session.data?.live || !session.data.permissions.includes('packets:download')) {
    return null;
  }
  const query = new URLSearchParams();
  for (const host of hosts.split(/[\s,]+/).filter(Boolean)) {
    query.append('host', host);
  }
  for (const [name, value] of [
    ['start', start],
    ['end', end],
    ['port', String(port)],
  ] as const) {
    if (value !== '') {
      query.set(name, value);
    }
  }
  return (
    <Panel title={t('packets.title')}>
      <div className="packets-form">
        <TextInput
          type="datetime-local"
          step={1}
          label={t('packets.from')}
          value={start}
          onChange={(event) => setStart(event.currentTarget.value)}
        />
        <TextInput
          type="datetime-local"
          step={1}
          label={t('packets.to')}
          value={end}
          onChange={(event) => setEnd(event.currentTarget.value)}
        />
        <TextInput
          label={t('packets.hosts')}
          placeholder="10.0.0.5, 10.0.0.20"
          value={hosts}
          onChange={(event) => setHosts(event.currentTarget.value)}
        />
        <NumberInput
          label={t('packets.port')}
          min={1}
          max={65535}
          allowDecimal={false}
          hideControls
          value={port}
          onChange={setPort}
        />
        <Button component="a" variant="default" href={`/api/packets?${query}`} download>
          {t('packets.take')}
        </Button>
      </div>
      <p className="quiet">{t('packets.formNote')}</p>
    </Panel>
  );
}
