import { hexByte } from './hex';

/** Who sent a frame to whom, and by which protocol, as far as its first headers say. */
export interface FrameSummary {
  source: string;
  destination: string;
  protocol: string;
}

const ETHERTYPES: Record<number, string> = {
  2054: 'ARP',
  34962: 'PROFINET',
  34980: 'EtherCAT',
  35000: 'GOOSE',
  35002: 'Sampled Values',
  35020: 'LLDP',
  35063: 'PTP',
};

const VLAN_TAGS = new Set([0x8100, 0x88a8, 0x9100]);

/** The summary of an Ethernet frame; nothing for other link types and frames cut too short. */
export function summarize(linkType: string, bytes: Uint8Array): FrameSummary | undefined {
  if (linkType !== 'ethernet' || bytes.length < 14) {
    return undefined;
  }
  let at = 12;
  let kind = word(bytes, at);
  while (VLAN_TAGS.has(kind) && bytes.length >= at + 6) {
    at += 4;
    kind = word(bytes, at);
  }
  at += 2;
  const inner = kind === 0x0800 ? ipv4(bytes, at) : kind === 0x86dd ? ipv6(bytes, at) : undefined;
  return (
    inner ?? {
      source: mac(bytes, 6),
      destination: mac(bytes, 0),
      protocol: kind < 0x0600 ? 'LLC' : (ETHERTYPES[kind] ?? `0x${kind.toString(16)}`),
    }
  );
}

function ipv4(bytes: Uint8Array, at: number): FrameSummary | undefined {
  if (bytes.length < at + 20) {
    return undefined;
  }
  const header = ((bytes[at] ?? 0) & 0x0f) * 4;
  const later = (word(bytes, at + 6) & 0x1fff) !== 0;
  const quad = (from: number): string => bytes.slice(from, from + 4).join('.');
  return transport(bytes, at + header, later ? -1 : (bytes[at + 9] ?? 0), [
    quad(at + 12),
    quad(at + 16),
  ]);
}

function ipv6(bytes: Uint8Array, at: number): FrameSummary | undefined {
  if (bytes.length < at + 40) {
    return undefined;
  }
  const groups = (from: number): string =>
    Array.from({ length: 8 }, (_, group) => word(bytes, from + group * 2).toString(16))
      .join(':')
      .replace(/(^|:)0(:0)+(:|$)/, '::');
  return transport(bytes, at + 40, bytes[at + 6] ?? 0, [groups(at + 8), groups(at + 24)]);
}

function transport(
  bytes: Uint8Array,
  at: number,
  protocol: number,
  [source, destination]: [string, string],
): FrameSummary {
  const name = { 1: 'ICMP', 2: 'IGMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6' }[protocol];
  if ((protocol === 6 || protocol === 17) && bytes.length >= at + 4) {
    return {
      source: `${source}:${word(bytes, at)}`,
      destination: `${destination}:${word(bytes, at + 2)}`,
      protocol: name ?? '',
    };
  }
  return { source, destination, protocol: name ?? (protocol < 0 ? 'IP' : `IP ${protocol}`) };
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function mac(bytes: Uint8Array, at: number): string {
  return [...bytes.slice(at, at + 6)].map(hexByte).join(':');
}
