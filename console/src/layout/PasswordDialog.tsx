import { Button, Modal, PasswordInput, Stack } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, told } from '../api/client';

/** The shortest password the API takes. */
const SHORTEST = 12;

/** Changes one's own password. */
export function PasswordDialog({
  opened,
  onClose,
}: {
  opened: boolean;
  onClose: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const [old, setOld] = useState('');
  const [fresh, setFresh] = useState('');
  const change = useMutation({
    mutationFn: () => told(api.POST('/api/session/password', { body: { old, new: fresh } })),
    onSuccess: () => {
      setOld('');
      setFresh('');
      onClose();
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    change.mutate();
  };
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={t('me.changePassword')}
      closeButtonProps={{ 'aria-label': t('common.close') }}
    >
      <form onSubmit={submit}>
        <Stack gap="sm">
          <PasswordInput
            label={t('me.oldPassword')}
            autoComplete="current-password"
            value={old}
            onChange={(event) => setOld(event.currentTarget.value)}
            required
          />
          <PasswordInput
            label={t('me.newPassword')}
            description={t('me.passwordRule', { count: SHORTEST })}
            autoComplete="new-password"
            minLength={SHORTEST}
            value={fresh}
            onChange={(event) => setFresh(event.currentTarget.value)}
            required
          />
          {change.error !== null && (
            <p className="notice" role="alert">
              {change.error.message}
            </p>
          )}
          <Button type="submit" loading={change.isPending}>
            {t('me.changePassword')}
          </Button>
        </Stack>
      </form>
    </Modal>
  );
}
