/** A time of the API (ISO 8601 with nanoseconds) as date and time in UTC with milliseconds. */
export function formatTime(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 23)}`;
}

/** Nanoseconds since 1970 of a time of the API. */
export function nanoseconds(iso: string): bigint {
  const seconds = BigInt(Math.floor(Date.parse(`${iso.slice(0, 19)}Z`) / 1000));
  const fraction = iso.slice(20, -1).padEnd(9, '0').slice(0, 9);
  return seconds * 1_000_000_000n + BigInt(fraction || '0');
}

/** The time from one moment to another, signed, in the unit that reads best. */
export function formatDifference(from: string, to: string): string {
  const difference = nanoseconds(to) - nanoseconds(from);
  const sign = difference < 0n ? '−' : '+';
  const size = difference < 0n ? -difference : difference;
  const seconds = Number(size) / 1e9;
  if (seconds >= 1) {
    return `${sign}${seconds.toFixed(3)} s`;
  }
  if (seconds >= 0.001) {
    return `${sign}${(seconds * 1e3).toFixed(3)} ms`;
  }
  return `${sign}${Math.round(seconds * 1e6)} µs`;
}

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** A number of bytes in decimal units. */
export function formatBytes(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(size < 10 ? 1 : 0)} ${UNITS[unit]}`;
}

/** A whole number with thin groups. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US').replaceAll(',', ' ');
}

/** A share of 1 in percent. */
export function formatShare(share: number): string {
  const percent = share * 100;
  return `${percent.toFixed(percent < 10 ? 2 : 1)} %`;
}

/** Text from the wire with control and direction characters made visible. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '·');
}
