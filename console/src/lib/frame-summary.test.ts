import { describe, expect, it } from 'vitest';
import { summarize } from './frame-summary';
import { bytesOf } from './hex';

const MACS = '0080f40a3111b82a72102021';

describe('frame summary', () => {
  it('names addresses and ports of TCP over IPv4', () => {
    const frame = `${MACS}0800450000280001400040060000 0a140115 0a14010b c15d01f6`;
    expect(summarize('ethernet', bytesOf(frame.replaceAll(' ', '')))).toEqual({
      source: '10.20.1.21:49501',
      destination: '10.20.1.11:502',
      protocol: 'TCP',
    });
  });

  it('looks behind VLAN tags', () => {
    const frame = `${MACS}810000050806${'00'.repeat(28)}`;
    expect(summarize('ethernet', bytesOf(frame))?.protocol).toBe('ARP');
  });

  it('shows MACs where there is no IP', () => {
    expect(summarize('ethernet', bytesOf(`${MACS}88cc0207`))).toEqual({
      source: 'b8:2a:72:10:20:21',
      destination: '00:80:f4:0a:31:11',
      protocol: 'LLDP',
    });
  });

  it('says nothing about frames cut short and other links', () => {
    expect(summarize('ethernet', bytesOf('0080'))).toBeUndefined();
    expect(summarize('raw-ip', bytesOf(MACS))).toBeUndefined();
  });
});
