export const LINE_BYTES = 16;

export interface Run {
  offset: number;
  length: number;
}

/** Bytes of one line that are all cited, or all not. */
export interface Piece {
  hex: string[];
  text: string;
  cited: boolean;
}

export interface Line {
  offset: number;
  pieces: Piece[];
}

/** The bytes behind hexadecimal text. */
export function bytesOf(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length >> 1);
  for (let at = 0; at < bytes.length; at += 1) {
    bytes[at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
  }
  return bytes;
}

/** A byte as two hexadecimal digits. */
export function hexByte(value: number): string {
  return value.toString(16).padStart(2, '0');
}

/** A byte as the letter of ASCII, or a dot. */
export function letter(value: number): string {
  return value >= 0x20 && value < 0x7f ? String.fromCharCode(value) : '.';
}

/** The frame in lines of sixteen bytes, each cut where cited bytes begin or end. */
export function hexLines(bytes: Uint8Array, cited: Run[]): Line[] {
  const lines: Line[] = [];
  for (let start = 0; start < bytes.length; start += LINE_BYTES) {
    const pieces: Piece[] = [];
    for (let at = start; at < Math.min(start + LINE_BYTES, bytes.length); at += 1) {
      const value = bytes[at] ?? 0;
      const mark = isCited(at, cited);
      const last = pieces.at(-1);
      if (last !== undefined && last.cited === mark) {
        last.hex.push(hexByte(value));
        last.text += letter(value);
      } else {
        pieces.push({ hex: [hexByte(value)], text: letter(value), cited: mark });
      }
    }
    lines.push({ offset: start, pieces });
  }
  return lines;
}

function isCited(at: number, cited: Run[]): boolean {
  return cited.some((run) => at >= run.offset && at < run.offset + run.length);
}

/** The first cited byte's line, to scroll to. */
export function firstCitedLine(cited: Run[]): number {
  const first = Math.min(...cited.map((run) => run.offset));
  return Number.isFinite(first) ? Math.floor(first / LINE_BYTES) : 0;
}
