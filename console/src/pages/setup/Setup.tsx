import { Button, Textarea } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type FormEvent, type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { api, Refusal, type Setup as SetupData, type SetupResult, told } from '../../api/client';
import { captureQuery, sessionQuery, setupQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { fieldProblems } from '../../lib/field-problems';
import { Learning } from './Learning';
import { OwnPassword } from './OwnPassword';
import { Ports } from './Ports';
import { type SubnetRow, Subnets } from './Subnets';

/** Sets the sensor up, step by step: password, interfaces, subnets, time. */
export function Setup(): ReactNode {
  const { t } = useTranslation();
  const setup = useQuery(setupQuery);
  const session = useQuery(sessionQuery);
  return (
    <>
      <div className="page-head">
        <h1>{t('setup.title')}</h1>
        <span className="quiet">{t('setup.intro')}</span>
      </div>
      <Asked query={setup}>
        {(data) => (
          <>
            {session.data?.set_up === false && (
              <p className="notice" role="status">
                {t('setup.notYet')}
              </p>
            )}
            {data.problem !== null && (
              <p className="notice" role="alert">
                {t('setup.fileProblem', { problem: data.problem })}
              </p>
            )}
            <OwnPassword own={data.own_password} />
            <Choice data={data} />
          </>
        )}
      </Asked>
    </>
  );
}

function Choice({ data }: { data: SetupData }): ReactNode {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const [interfaces, setInterfaces] = useState(data.interfaces.map((one) => one.name));
  const [subnets, setSubnets] = useState<SubnetRow[]>(
    data.subnets.map((one, index) => ({ ...one, key: index })),
  );
  const [learning, setLearning] = useState(data.learning_s);
  const apply = useMutation({
    mutationFn: () =>
      told(
        api.POST('/api/setup', {
          body: {
            interfaces,
            subnets: subnets.map(({ cidr, name, industrial }) => ({ cidr, name, industrial })),
            learning_s: learning,
            revision: data.revision,
          },
        }),
      ),
    onSuccess: () =>
      Promise.all(
        [setupQuery, sessionQuery, captureQuery].map(({ queryKey }) =>
          queries.invalidateQueries({ queryKey }),
        ),
      ),
  });
  const refusal = apply.error instanceof Refusal ? apply.error : null;
  const problems = fieldProblems(refusal?.invalid ?? []);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    apply.mutate();
  };
  return (
    <form className="setup" onSubmit={submit} noValidate>
      <Ports
        configured={data.interfaces}
        chosen={interfaces}
        onChoose={setInterfaces}
        problems={problems}
      />
      <Subnets rows={subnets} seen={data.seen} onChange={setSubnets} problems={problems} />
      <Learning
        clock={data.clock}
        learning={data.learning}
        seconds={learning}
        onChange={setLearning}
        problem={problems.learning_s}
      />
      {apply.error !== null && (
        <p className="notice" role="alert">
          {apply.error.message}
        </p>
      )}
      {apply.data !== undefined && <Result result={apply.data} />}
      <div className="setup-end">
        <Button
          type="submit"
          loading={apply.isPending}
          disabled={!data.own_password || data.problem !== null}
        >
          {t('setup.apply')}
        </Button>
        <span className="quiet">
          {data.own_password ? t('setup.applyNote', { file: data.file }) : t('setup.passwordFirst')}
        </span>
      </div>
    </form>
  );
}

function Result({ result }: { result: SetupResult }): ReactNode {
  const { t } = useTranslation();
  if (result.written) {
    return (
      <p className="notice notice-done" role="status">
        {t('setup.written', { file: result.file })}{' '}
        <Link to="/capture">{t('setup.toCapture')}</Link>
      </p>
    );
  }
  return (
    <div className="notice" role="alert">
      <p>{t('setup.notWritten', { reason: result.reason, file: result.file })}</p>
      <Textarea
        className="setup-text"
        label={t('setup.text')}
        readOnly
        autosize
        maxRows={16}
        value={result.text}
      />
    </div>
  );
}
