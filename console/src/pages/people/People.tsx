import { Button, PasswordInput, Select, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, told, type UserInfo } from '../../api/client';
import { auditQuery, sessionQuery, usersQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { Panel } from '../../components/Panel';
import { formatTime, visible } from '../../lib/format';

const ROLES = ['viewer', 'analyst', 'admin'] as const;
const SHORTEST = 12;

/** Who may log in, and what people did. */
export function People(): ReactNode {
  const { t } = useTranslation();
  const users = useQuery(usersQuery);
  return (
    <>
      <div className="page-head">
        <h1>{t('people.title')}</h1>
      </div>
      <div className="split">
        <Asked query={users}>{(rows) => <Users rows={rows} />}</Asked>
        <NewUser />
      </div>
      <Audit />
    </>
  );
}

function Users({ rows }: { rows: UserInfo[] }): ReactNode {
  const { t } = useTranslation();
  const session = useQuery(sessionQuery);
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: (name: string) =>
      told(api.DELETE('/api/users/{name}', { params: { path: { name } } })),
    onSettled: () =>
      Promise.all([queries.invalidateQueries(usersQuery), queries.invalidateQueries(auditQuery)]),
  });
  return (
    <Panel title={t('people.users')} bare>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">{t('people.name')}</th>
            <th scope="col">{t('people.role')}</th>
            <th scope="col">{t('people.since')}</th>
            <th scope="col">
              <span className="hidden-text">{t('people.remove')}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name}>
              <td>
                {row.name} {row.locked && <span className="tag">{t('people.locked')}</span>}
              </td>
              <td>{t(`role.${row.role}`)}</td>
              <td className="mono">{formatTime(row.created).slice(0, 19)}</td>
              <td className="number">
                {row.name !== session.data?.name && (
                  <Button
                    size="compact-xs"
                    variant="default"
                    onClick={() => remove.mutate(row.name)}
                  >
                    {t('people.remove')}
                    <span className="hidden-text"> {row.name}</span>
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {remove.error !== null && (
        <p className="notice" role="alert">
          {remove.error.message}
        </p>
      )}
    </Panel>
  );
}

function NewUser(): ReactNode {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [role, setRole] = useState<(typeof ROLES)[number]>('viewer');
  const add = useMutation({
    mutationFn: () => told(api.POST('/api/users', { body: { name, role, password } })),
    onSuccess: () => {
      setName('');
      setPassword('');
      return Promise.all([
        queries.invalidateQueries(usersQuery),
        queries.invalidateQueries(auditQuery),
      ]);
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    add.mutate();
  };
  return (
    <Panel title={t('people.add')}>
      <form onSubmit={submit} style={{ display: 'grid', gap: '0.6rem' }}>
        <TextInput
          size="xs"
          label={t('people.name')}
          description={t('people.nameRule')}
          pattern="[a-z0-9][a-z0-9._\-]{0,63}"
          autoComplete="off"
          required
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <Select
          size="xs"
          label={t('people.role')}
          description={t(`roleNote.${role}`)}
          allowDeselect={false}
          data={ROLES.map((value) => ({ value, label: t(`role.${value}`) }))}
          value={role}
          onChange={(value) => setRole(ROLES.find((entry) => entry === value) ?? 'viewer')}
        />
        <PasswordInput
          size="xs"
          label={t('people.firstPassword')}
          description={t('me.passwordRule', { count: SHORTEST })}
          autoComplete="new-password"
          minLength={SHORTEST}
          required
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          visibilityToggleButtonProps={{ 'aria-label': t('logIn.show') }}
        />
        {add.error !== null && (
          <p className="notice" role="alert">
            {add.error.message}
          </p>
        )}
        <Button size="xs" type="submit" loading={add.isPending}>
          {t('people.add')}
        </Button>
      </form>
    </Panel>
  );
}

function Audit(): ReactNode {
  const { t, i18n } = useTranslation();
  const audit = useQuery(auditQuery);
  return (
    <Panel title={t('people.audit')} bare>
      <Asked query={audit}>
        {({ items }) => (
          <div className="scroll">
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">{t('evidence.time')}</th>
                  <th scope="col">{t('people.who')}</th>
                  <th scope="col">{t('people.did')}</th>
                  <th scope="col">{t('people.what')}</th>
                </tr>
              </thead>
              <tbody>
                {items.map((row) => (
                  <tr key={`${row.time} ${row.person} ${row.action} ${row.target}`}>
                    <td className="mono nowrap">{formatTime(row.time)}</td>
                    <td>{visible(row.person)}</td>
                    <td>
                      {i18n.exists(`audit.${row.action}`) ? t(`audit.${row.action}`) : row.action}
                    </td>
                    <td className="mono">{visible(row.target)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Asked>
    </Panel>
  );
}
