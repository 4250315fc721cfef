import { Checkbox } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { TFunction } from 'i18next';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { ConfiguredInterface, MonitoredInterface, Port } from '../../api/client';
import { captureQuery, portsQuery } from '../../api/queries';
import { Asked } from '../../components/Asked';
import { Panel } from '../../components/Panel';
import type { FieldProblems } from '../../lib/field-problems';
import { formatBytes, formatCount, visible } from '../../lib/format';

interface PortsProps {
  configured: ConfiguredInterface[];
  chosen: string[];
  onChoose: (names: string[]) => void;
  problems: FieldProblems;
}

/** The machine's interfaces with what comes in on each, to see which one is the mirror port. */
export function Ports({ configured, chosen, onChoose, problems }: PortsProps): ReactNode {
  const { t } = useTranslation();
  const ports = useQuery(portsQuery);
  const capture = useQuery(captureQuery);
  const choose = (name: string, on: boolean): void =>
    onChoose(on ? [...chosen, name] : chosen.filter((other) => other !== name));
  const problem =
    problems.interfaces ??
    chosen.map((_, index) => problems[`interfaces[${index}]`]).find((text) => text !== undefined);
  return (
    <Panel title={t('setup.interfaces')} bare>
      <div className="panel-body">
        <p className="setup-line quiet">{t('setup.interfacesNote')}</p>
        {problem !== undefined && (
          <p className="lost" role="alert">
            {problem}
          </p>
        )}
      </div>
      <Asked query={ports}>
        {(rows) => (
          <div className="scroll">
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">{t('setup.monitor')}</th>
                  <th scope="col">{t('setup.link')}</th>
                  <th scope="col">{t('setup.addresses')}</th>
                  <th scope="col" className="number">
                    {t('setup.perSecond')}
                  </th>
                  <th scope="col" className="number">
                    {t('setup.multicast')}
                  </th>
                  <th scope="col" className="number">
                    {t('setup.sent')}
                  </th>
                  <th scope="col" className="number">
                    {t('setup.frames')}
                  </th>
                  <th scope="col">{t('setup.verdict')}</th>
                </tr>
              </thead>
              <tbody>
                {rows.map((port) => (
                  <PortRow
                    key={port.name}
                    port={port}
                    read={capture.data?.interfaces.find((one) => one.name === port.name)}
                    chosen={chosen.includes(port.name)}
                    onChoose={(on) => choose(port.name, on)}
                  />
                ))}
                {configured
                  .filter((one) => !rows.some((port) => port.name === one.name))
                  .map((one) => (
                    <tr key={one.name}>
                      <td>
                        <Checkbox
                          size="xs"
                          label={visible(one.name)}
                          checked={chosen.includes(one.name)}
                          onChange={(event) => choose(one.name, event.currentTarget.checked)}
                        />
                      </td>
                      <td colSpan={7}>
                        {one.pipe ? (
                          t('setup.pipe')
                        ) : (
                          <span className="lost">{t('setup.missing')}</span>
                        )}
                      </td>
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

interface PortRowProps {
  port: Port;
  read: MonitoredInterface | undefined;
  chosen: boolean;
  onChoose: (on: boolean) => void;
}

function PortRow({ port, read, chosen, onChoose }: PortRowProps): ReactNode {
  const { t } = useTranslation();
  return (
    <tr>
      <td>
        <Checkbox
          size="xs"
          label={visible(port.name)}
          description={port.mac ?? undefined}
          checked={chosen}
          onChange={(event) => onChoose(event.currentTarget.checked)}
        />
      </td>
      <td className="nowrap">{linkOf(port, t)}</td>
      <td className="mono">{port.addresses.join(' ') || '–'}</td>
      <td className="number">
        {formatCount(Math.round(port.frames_per_s))}
        <div className="quiet">{formatBytes(Math.round(port.bytes_per_s))}/s</div>
      </td>
      <td className="number">
        {port.multicast_per_s === null ? (
          <span className="quiet">{t('setup.notCounted')}</span>
        ) : (
          formatCount(Math.round(port.multicast_per_s))
        )}
      </td>
      <td className="number">{formatCount(Math.round(port.sent_per_s))}</td>
      <td className="number">{formatCount(port.frames)}</td>
      <td>
        {port.may_mirror && <div>{t('setup.mayMirror')}</div>}
        <ul className="plain">
          {port.concerns.map((concern) => (
            <li key={concern} className={chosen ? 'lost' : undefined}>
              {t(`setup.concern.${concern}`)}
            </li>
          ))}
        </ul>
        {read !== undefined && read.state !== 'unread' && (
          <div className="quiet">
            {t('setup.readNow', { frames: formatCount(read.second.frames) })}
          </div>
        )}
      </td>
    </tr>
  );
}

function linkOf(port: Port, t: TFunction): string {
  if (port.up === false) {
    return t('setup.linkOff');
  }
  if (port.link === false) {
    return t('setup.linkDown');
  }
  if (port.link === null) {
    return t('setup.linkUnknown');
  }
  return port.speed_mbit_per_s === null
    ? t('setup.linkUp')
    : t('setup.linkSpeed', { speed: formatCount(port.speed_mbit_per_s) });
}
