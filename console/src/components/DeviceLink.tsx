import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { Ref } from '../api/client';
import { visible } from '../lib/format';

interface DeviceLinkProps {
  device: Ref | null | undefined;
  address?: string;
  child?: string | null;
}

/** A device by name, with the address that was used; the address alone where no device holds it. */
export function DeviceLink({ device, address, child }: DeviceLinkProps): ReactNode {
  const behind = [device?.name === address ? undefined : address, child]
    .filter((part) => part !== undefined && part !== null && part !== '')
    .join(' ');
  if (device === null || device === undefined) {
    return <span className="mono">{visible([address, child].filter(Boolean).join(' '))}</span>;
  }
  return (
    <>
      <Link to="/devices/$device" params={{ device: device.id }}>
        {visible(device.name)}
      </Link>
      {behind !== '' && <span className="quiet mono"> {visible(behind)}</span>}
    </>
  );
}
