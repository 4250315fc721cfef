import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { sessionQuery } from '../api/queries';

interface Wanted {
  device?: string;
  connection?: string;
  alert?: string;
}

/** Takes everything that the packet ring of a sensor at work holds of one thing. */
export function RingButton({ wanted }: { wanted: Wanted }): ReactNode {
  const { t } = useTranslation();
  const { data } = useQuery(sessionQuery);
  if (!data?.live || !data.permissions.includes('packets:download')) {
    return null;
  }
  const query = new URLSearchParams(Object.entries(wanted));
  return (
    <Button
      size="compact-xs"
      variant="default"
      component="a"
      href={`/api/packets?${query}`}
      download
      title={t('packets.note')}
    >
      {t('packets.download')}
    </Button>
  );
}
