import { describe, expect, it } from 'vitest';
import { citedFrames, placesOf, spansOf } from './evidence';

const evidence = {
  decode: 'utf-8',
  spans: [
    { file: 'a.pcap', frame: 3, offset: 54, length: 2 },
    { file: 'a.pcap', frame: 3, offset: 60, length: 4 },
    { file: 'b.pcap', frame: 1, offset: 0, length: 6 },
  ],
};

describe('evidence', () => {
  it('opens one place for each file', () => {
    expect(placesOf(evidence)).toEqual([
      { file: 'a.pcap', frame: 3, spans: '3:54:2,3:60:4', decode: 'utf-8' },
      { file: 'b.pcap', frame: 1, spans: '1:0:6', decode: 'utf-8' },
    ]);
  });

  it('counts the bytes of each frame', () => {
    expect(citedFrames(evidence)).toEqual([
      { file: 'a.pcap', frame: 3, bytes: 6 },
      { file: 'b.pcap', frame: 1, bytes: 6 },
    ]);
  });

  it('lets nothing but spans through', () => {
    expect(spansOf('3:54:2,x,3:60:4')).toEqual(['3:54:2', '3:60:4']);
    expect(spansOf('')).toEqual([]);
  });
});
