import { Button, Menu, SegmentedControl, useMantineColorScheme } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api } from '../api/client';
import { sessionQuery } from '../api/queries';
import { PasswordDialog } from './PasswordDialog';

/** Who is logged in, their choices, and the way out. */
export function Me({ sensor }: { sensor: string }): ReactNode {
  const { t } = useTranslation();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const session = useQuery(sessionQuery);
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [changing, dialog] = useDisclosure(false);
  const logOut = async (): Promise<void> => {
    await api.DELETE('/api/session');
    queries.clear();
    await navigate({ to: '/log-in' });
  };
  return (
    <div className="nav-foot">
      <SegmentedControl
        size="xs"
        aria-label={t('theme.label')}
        value={colorScheme}
        onChange={(value) => setColorScheme(value as 'light' | 'dark' | 'auto')}
        data={[
          { value: 'light', label: t('theme.light') },
          { value: 'dark', label: t('theme.dark') },
          { value: 'auto', label: t('theme.auto') },
        ]}
      />
      <Menu position="top-start" width={200}>
        <Menu.Target>
          <Button variant="default" size="xs" justify="space-between" rightSection="▾">
            {session.data?.name}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>
            {t(`role.${session.data?.role ?? 'viewer'}`)}, {t('me.sensor', { sensor })}
          </Menu.Label>
          <Menu.Item onClick={dialog.open}>{t('me.changePassword')}</Menu.Item>
          <Menu.Item onClick={logOut}>{t('me.logOut')}</Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <PasswordDialog opened={changing} onClose={dialog.close} />
    </div>
  );
}
