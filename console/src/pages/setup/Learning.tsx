import { NumberInput, Select } from '@mantine/core';
import type { TFunction } from 'i18next';
import { type ReactNode, useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { ClockOut, LearningOut } from '../../api/client';
import { Panel } from '../../components/Panel';
import { formatTime } from '../../lib/format';

const UNITS = { days: 86_400, hours: 3_600, minutes: 60 } as const;
type Unit = keyof typeof UNITS;
const NAMES = Object.keys(UNITS) as Unit[];

interface LearningProps {
  clock: ClockOut;
  learning: LearningOut | null;
  seconds: number;
  onChange: (seconds: number) => void;
  problem: string | undefined;
}

/** The machine's clock, and for how long the sensor learns what is normal. */
export function Learning({
  clock,
  learning,
  seconds,
  onChange,
  problem,
}: LearningProps): ReactNode {
  const { t } = useTranslation();
  const [unit, setUnit] = useState<Unit>(
    NAMES.find((name) => seconds % UNITS[name] === 0) ?? 'minutes',
  );
  return (
    <Panel title={t('setup.time')}>
      <p className="setup-line">
        {t('setup.clock', { time: formatTime(clock.time).slice(0, 19) })}{' '}
        <span className={clock.synchronised === true ? undefined : 'lost'}>
          {synchronisation(clock, t)}
        </span>
      </p>
      <div className="setup-fields">
        <NumberInput
          label={t('setup.learning')}
          min={0}
          hideControls
          value={seconds / UNITS[unit]}
          error={problem}
          onChange={(value) => onChange(Math.round(Number(value) * UNITS[unit]))}
        />
        <Select
          label={t('setup.unit')}
          allowDeselect={false}
          data={NAMES.map((value) => ({ value, label: t(`setup.units.${value}`) }))}
          value={unit}
          onChange={(value) => {
            const next = NAMES.find((name) => name === value) ?? unit;
            onChange(Math.round((seconds / UNITS[unit]) * UNITS[next]));
            setUnit(next);
          }}
        />
      </div>
      <p className="setup-line quiet">
        {learning !== null && learning.until !== null
          ? t('setup.learnedAlready', { until: formatTime(learning.until).slice(0, 19) })
          : t('setup.learningNote', { observed: learning?.observed_s ?? 0 })}
      </p>
    </Panel>
  );
}

function synchronisation(clock: ClockOut, t: TFunction): string {
  if (clock.synchronised === null) {
    return t('setup.syncUnknown');
  }
  if (!clock.synchronised) {
    return t('setup.notSynced');
  }
  return clock.error_s === null
    ? t('setup.syncedByService')
    : t('setup.synced', { error: Math.ceil(clock.error_s * 1000) });
}
