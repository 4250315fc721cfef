import { Button, PasswordInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, told } from '../../api/client';
import { setupQuery } from '../../api/queries';
import { Panel } from '../../components/Panel';

/** The shortest password the API takes. */
const SHORTEST = 12;

/** The first step: a password that stood on no terminal. */
export function OwnPassword({ own }: { own: boolean }): ReactNode {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const [old, setOld] = useState('');
  const [fresh, setFresh] = useState('');
  const [again, setAgain] = useState('');
  const change = useMutation({
    mutationFn: () => told(api.POST('/api/session/password', { body: { old, new: fresh } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: setupQuery.queryKey }),
  });
  const tooShort = fresh !== '' && fresh.length < SHORTEST;
  const differs = again !== '' && again !== fresh;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    change.mutate();
  };
  return (
    <Panel title={t('setup.password')}>
      {own ? (
        <p className="setup-line" role="status">
          {t('setup.passwordDone')}
        </p>
      ) : (
        <form onSubmit={submit}>
          <p className="setup-line quiet">{t('setup.passwordWhy')}</p>
          <div className="setup-fields setup-row">
            <PasswordInput
              label={t('setup.oldPassword')}
              autoComplete="current-password"
              required
              value={old}
              onChange={(event) => setOld(event.currentTarget.value)}
              visibilityToggleButtonProps={{ 'aria-label': t('logIn.show') }}
            />
            <PasswordInput
              label={t('setup.newPassword')}
              autoComplete="new-password"
              placeholder={t('me.passwordRule', { count: SHORTEST })}
              required
              error={tooShort && t('me.passwordRule', { count: SHORTEST })}
              value={fresh}
              onChange={(event) => setFresh(event.currentTarget.value)}
              visibilityToggleButtonProps={{ 'aria-label': t('logIn.show') }}
            />
            <PasswordInput
              label={t('setup.again')}
              autoComplete="new-password"
              required
              error={differs && t('setup.differs')}
              value={again}
              onChange={(event) => setAgain(event.currentTarget.value)}
              visibilityToggleButtonProps={{ 'aria-label': t('logIn.show') }}
            />
            <Button
              type="submit"
              className="setup-beside"
              variant="default"
              loading={change.isPending}
              disabled={fresh.length < SHORTEST || again !== fresh}
            >
              {t('setup.setPassword')}
            </Button>
          </div>
          {change.error !== null && (
            <p className="notice" role="alert">
              {change.error.message}
            </p>
          )}
        </form>
      )}
    </Panel>
  );
}
