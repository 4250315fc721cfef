import { Button, Checkbox, TextInput } from '@mantine/core';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { SeenNetwork, SubnetChoice } from '../../api/client';
import { Panel } from '../../components/Panel';
import type { FieldProblems } from '../../lib/field-problems';

/** A subnet of the form; `key` tells rows apart while they are typed. */
export interface SubnetRow extends SubnetChoice {
  key: number;
}

interface SubnetsProps {
  rows: SubnetRow[];
  seen: SeenNetwork[];
  onChange: (rows: SubnetRow[]) => void;
  problems: FieldProblems;
}

/** The plant's subnets: those its traffic shows, taken over by a click, and those typed. */
export function Subnets({ rows, seen, onChange, problems }: SubnetsProps): ReactNode {
  const { t } = useTranslation();
  const add = (cidr: string): void => {
    const key = Math.max(-1, ...rows.map((row) => row.key)) + 1;
    onChange([...rows, { cidr, name: '', industrial: true, key }]);
  };
  const change = (key: number, changes: Partial<SubnetRow>): void =>
    onChange(rows.map((row) => (row.key === key ? { ...row, ...changes } : row)));
  const offered = seen.filter((network) => !rows.some((row) => row.cidr === network.cidr));
  return (
    <Panel title={t('setup.subnets')}>
      <p className="setup-line quiet">{t('setup.subnetsNote')}</p>
      {rows.map((row, index) => (
        <div key={row.key} className="setup-fields setup-row">
          <TextInput
            label={t('setup.cidr')}
            placeholder="10.20.1.0/24"
            value={row.cidr}
            error={problems[`subnets[${index}].cidr`]}
            onChange={(event) => change(row.key, { cidr: event.currentTarget.value })}
          />
          <TextInput
            label={t('setup.subnetName')}
            maxLength={100}
            value={row.name}
            onChange={(event) => change(row.key, { name: event.currentTarget.value })}
          />
          <Checkbox
            className="setup-beside"
            label={t('setup.industrial')}
            checked={row.industrial}
            onChange={(event) => change(row.key, { industrial: event.currentTarget.checked })}
          />
          <Button
            className="setup-beside"
            variant="default"
            onClick={() => onChange(rows.filter((other) => other.key !== row.key))}
          >
            {t('setup.removeSubnet')}
            <span className="hidden-text"> {row.cidr}</span>
          </Button>
        </div>
      ))}
      <div className="setup-fields">
        {offered.slice(0, 12).map((network) => (
          <Button
            key={network.cidr}
            size="compact-sm"
            variant="default"
            onClick={() => add(network.cidr)}
          >
            {t('setup.addSeen', { cidr: network.cidr, count: network.addresses })}
          </Button>
        ))}
        <Button size="compact-sm" variant="default" onClick={() => add('')}>
          {t('setup.addSubnet')}
        </Button>
      </div>
      {seen.length === 0 && <p className="setup-line quiet">{t('setup.noneSeen')}</p>}
    </Panel>
  );
}
