import { describe, expect, it } from 'vitest';
import {
  formatBytes,
  formatCount,
  formatDifference,
  formatTime,
  nanoseconds,
  visible,
} from './format';

describe('format', () => {
  it('shows times in UTC with milliseconds', () => {
    expect(formatTime('2026-10-26T10:42:07.103456789Z')).toBe('2026-10-26 10:42:07.103');
  });

  it('keeps nanoseconds', () => {
    expect(nanoseconds('1970-01-01T00:00:01.000000001Z')).toBe(1_000_000_001n);
  });

  it('chooses the unit of a difference', () => {
    const from = '2026-01-01T00:00:00.000000000Z';
    expect(formatDifference(from, '2026-01-01T00:00:02.500000000Z')).toBe('+2.500 s');
    expect(formatDifference(from, '2026-01-01T00:00:00.002500000Z')).toBe('+2.500 ms');
    expect(formatDifference('2026-01-01T00:00:00.000150000Z', from)).toBe('−150 µs');
  });

  it('shows sizes and counts', () => {
    expect(formatBytes(999)).toBe('999 B');
    expect(formatBytes(63_056)).toBe('63 kB');
    expect(formatBytes(1_500_000)).toBe('1.5 MB');
    expect(formatCount(1234567)).toBe('1 234 567');
  });

  it('makes hostile characters visible', () => {
    expect(visible('a\u0000b\u202ec')).toBe('a·b·c');
    expect(visible('Füller 1')).toBe('Füller 1');
  });
});
