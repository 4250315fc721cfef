import { Button, PasswordInput, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useNavigate, useRouter } from '@tanstack/react-router';
import { type FormEvent, type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, rememberToken, told } from '../../api/client';
import { sessionQuery } from '../../api/queries';
import { Brand } from '../../layout/Brand';

const route = getRouteApi('/log-in');

/** Name and password, then the page that was asked for. */
export function LogIn(): ReactNode {
  const { t } = useTranslation();
  const { next } = route.useSearch();
  const navigate = useNavigate();
  const router = useRouter();
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const logIn = useMutation({
    mutationFn: () => told(api.POST('/api/session', { body: { name, password } })),
    onSuccess: async (session) => {
      rememberToken(session.csrf);
      queries.setQueryData(sessionQuery.queryKey, session);
      if (next !== undefined) {
        router.history.push(next);
      } else {
        await navigate({ to: '/overview' });
      }
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    logIn.mutate();
  };
  return (
    <main className="log-in">
      <form className="log-in-box" onSubmit={submit}>
        <h1>
          <Brand />
          {t('logIn.title')}
        </h1>
        <TextInput
          label={t('logIn.name')}
          autoComplete="username"
          autoFocus
          required
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <PasswordInput
          label={t('logIn.password')}
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          visibilityToggleButtonProps={{ 'aria-label': t('logIn.show') }}
        />
        {logIn.error !== null && (
          <p className="notice" role="alert" style={{ margin: 0 }}>
            {logIn.error.message}
          </p>
        )}
        <Button type="submit" loading={logIn.isPending}>
          {t('logIn.submit')}
        </Button>
      </form>
    </main>
  );
}
