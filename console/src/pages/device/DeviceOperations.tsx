import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api, type OperationRow, told } from '../../api/client';
import { DeviceLink } from '../../components/DeviceLink';
import { EvidenceLink } from '../../components/EvidenceLink';
import { PagedTable } from '../../components/PagedTable';
import { formatCount, formatTime, visible } from '../../lib/format';

/** What a device does to others, and others to it. */
export function DeviceOperations({ device }: { device: string }): ReactNode {
  const { t, i18n } = useTranslation();
  const outcome = (row: OperationRow): string =>
    i18n.exists(`outcome.${row.outcome}`) ? t(`outcome.${row.outcome}`) : row.outcome;
  return (
    <PagedTable<OperationRow>
      title={t('operation.title')}
      queryKey={['operations', device]}
      ask={(offset, limit) =>
        told(api.GET('/api/operations', { params: { query: { device, offset, limit } } }))
      }
      head={[
        t('operation.asks'),
        t('operation.asked'),
        t('traffic.protocol'),
        t('operation.action'),
        t('operation.name'),
        t('operation.object'),
        t('operation.outcome'),
        t('common.times'),
        t('device.lastSeen'),
        t('evidence.title'),
      ]}
      row={(row) => (
        <tr key={row.id}>
          <td>
            <DeviceLink
              device={row.client.device}
              address={row.client.address}
              child={row.client.child}
            />
          </td>
          <td>
            <DeviceLink
              device={row.server.device}
              address={row.server.address}
              child={row.server.child}
            />
          </td>
          <td>{row.protocol_title}</td>
          <td>{t(`action.${row.action}`)}</td>
          <td>
            {visible(row.name)}
            {row.code !== null && <span className="quiet mono"> 0x{row.code.toString(16)}</span>}
          </td>
          <td className="mono">{visible(row.object ?? '–')}</td>
          <td>{outcome(row)}</td>
          <td className="number">
            {formatCount(row.count)}
            {row.unpaired > 0 && (
              <span className="quiet" title={t('operation.unpaired')}>
                {' '}
                +{formatCount(row.unpaired)}
              </span>
            )}
          </td>
          <td className="mono nowrap">{formatTime(row.last_seen)}</td>
          <td>
            <EvidenceLink evidence={row.evidence} about={`${row.name} ${row.object ?? ''}`} />
          </td>
        </tr>
      )}
    />
  );
}
