import { describe, expect, it } from 'vitest';
import { bytesOf, firstCitedLine, hexLines } from './hex';

const bytes = bytesOf(
  Array.from({ length: 40 }, (_, at) => (at + 0x30).toString(16).padStart(2, '0')).join(''),
);

describe('hex', () => {
  it('reads hexadecimal text', () => {
    expect([...bytesOf('00ff10')]).toEqual([0, 255, 16]);
    expect(bytesOf('').length).toBe(0);
  });

  it('has sixteen bytes a line and the rest in the last', () => {
    const lines = hexLines(bytes, []);
    expect(lines.map((line) => line.offset)).toEqual([0, 16, 32]);
    expect(lines[2]?.pieces[0]?.hex).toHaveLength(8);
  });

  it('marks exactly the cited bytes, also across lines', () => {
    const lines = hexLines(bytes, [{ offset: 14, length: 4 }]);
    expect(lines[0]?.pieces.map((piece) => [piece.hex.length, piece.cited])).toEqual([
      [14, false],
      [2, true],
    ]);
    expect(lines[1]?.pieces.map((piece) => [piece.hex.length, piece.cited])).toEqual([
      [2, true],
      [14, false],
    ]);
  });

  it('joins runs that touch', () => {
    const lines = hexLines(bytes, [
      { offset: 2, length: 2 },
      { offset: 4, length: 1 },
    ]);
    expect(lines[0]?.pieces.map((piece) => piece.hex.length)).toEqual([2, 3, 11]);
  });

  it('shows what is no letter as a dot', () => {
    expect(hexLines(bytesOf('41007f7e'), [])[0]?.pieces[0]?.text).toBe('A..~');
  });

  it('finds the first cited line', () => {
    expect(firstCitedLine([{ offset: 33, length: 1 }])).toBe(2);
    expect(firstCitedLine([])).toBe(0);
  });
});
