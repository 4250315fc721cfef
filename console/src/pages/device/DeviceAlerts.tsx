import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { type AlertRow, api, told } from '../../api/client';
import { PagedTable } from '../../components/PagedTable';
import { Severity } from '../../components/Severity';
import { formatCount, formatTime, visible } from '../../lib/format';

/** Alerts that a device takes part in. */
export function DeviceAlerts({ device }: { device: string }): ReactNode {
  const { t } = useTranslation();
  return (
    <PagedTable<AlertRow>
      title={t('alerts.title')}
      queryKey={['alerts of', device]}
      ask={(offset, limit) =>
        told(api.GET('/api/alerts', { params: { query: { device, offset, limit } } }))
      }
      head={[
        t('alerts.severity'),
        t('alerts.alert'),
        t('alerts.what'),
        t('common.times'),
        t('device.lastSeen'),
      ]}
      row={(row) => (
        <tr key={row.id}>
          <td>
            <Severity severity={row.severity} />
          </td>
          <td>
            <Link to="/alerts/$alert" params={{ alert: row.id }}>
              {row.title}
            </Link>
          </td>
          <td>{visible(row.text)}</td>
          <td className="number">{formatCount(row.count)}</td>
          <td className="mono nowrap">{formatTime(row.last_seen)}</td>
        </tr>
      )}
    />
  );
}
