import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { api, type ConnectionRow, told } from '../../api/client';
import { DeviceLink } from '../../components/DeviceLink';
import { EvidenceLink } from '../../components/EvidenceLink';
import { PagedTable } from '../../components/PagedTable';
import { RingButton } from '../../components/RingButton';
import { formatBytes, formatCount, formatTime } from '../../lib/format';

/** Who a device talks to. */
export function DeviceConnections({ device }: { device: string }): ReactNode {
  const { t } = useTranslation();
  return (
    <PagedTable<ConnectionRow>
      title={t('traffic.connections')}
      queryKey={['connections', device]}
      ask={(offset, limit) =>
        told(api.GET('/api/connections', { params: { query: { device, offset, limit } } }))
      }
      head={[
        t('traffic.client'),
        t('traffic.server'),
        t('traffic.protocol'),
        t('traffic.transport'),
        t('traffic.packets'),
        t('traffic.bytes'),
        t('device.firstSeen'),
        t('device.lastSeen'),
        t('evidence.title'),
      ]}
      row={(row) => (
        <tr key={row.id}>
          <td title={row.client.role}>
            <DeviceLink
              device={row.client.device}
              address={row.client.address}
              child={row.client.child}
            />
          </td>
          <td title={row.server.role}>
            <DeviceLink
              device={row.server.device}
              address={row.server.address}
              child={row.server.child}
            />
          </td>
          <td>
            {row.protocol_title} {row.one_way && <span className="tag">{t('traffic.oneWay')}</span>}
          </td>
          <td className="nowrap">
            {row.transport}
            {row.port !== null && ` ${row.port}`}
            {row.vlans.length > 0 && ` · VLAN ${row.vlans.join(', ')}`}
          </td>
          <td className="number">{formatCount(row.packets)}</td>
          <td className="number">{formatBytes(row.bytes)}</td>
          <td className="mono nowrap">{formatTime(row.first_seen)}</td>
          <td className="mono nowrap">{formatTime(row.last_seen)}</td>
          <td>
            <EvidenceLink
              evidence={row.evidence}
              about={`${row.client.address} ${row.server.address} ${row.protocol_title}`}
            />
            <RingButton wanted={{ connection: row.id }} />
          </td>
        </tr>
      )}
    />
  );
}
