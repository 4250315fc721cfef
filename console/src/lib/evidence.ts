import type { Cited } from '../api/client';

/** Where the evidence viewer opens: a frame of a file, and the bytes marked in it. */
export interface EvidencePlace {
  file: string;
  frame: number;
  spans: string;
  decode: string;
}

const MOST_SPANS = 64;

/** One place for each file that the evidence cites, in reading order. */
export function placesOf(evidence: Cited): EvidencePlace[] {
  const byFile = new Map<string, EvidencePlace & { count: number }>();
  for (const span of evidence.spans) {
    const text = `${span.frame}:${span.offset}:${span.length}`;
    const known = byFile.get(span.file);
    if (known === undefined) {
      byFile.set(span.file, {
        file: span.file,
        frame: span.frame,
        spans: text,
        decode: evidence.decode,
        count: 1,
      });
    } else if (known.count < MOST_SPANS) {
      known.spans += `,${text}`;
      known.count += 1;
    }
  }
  return [...byFile.values()].map(({ count: _, ...place }) => place);
}

/** The frames that evidence cites, each once, in reading order. */
export function citedFrames(evidence: Cited): { file: string; frame: number; bytes: number }[] {
  const found = new Map<string, { file: string; frame: number; bytes: number }>();
  for (const span of evidence.spans) {
    const key = `${span.file}:${span.frame}`;
    const known = found.get(key);
    if (known === undefined) {
      found.set(key, { file: span.file, frame: span.frame, bytes: span.length });
    } else {
      known.bytes += span.length;
    }
  }
  return [...found.values()];
}

/** The text of marked bytes as the API wants it: one entry a run. */
export function spansOf(text: string): string[] {
  return text.split(',').filter((part) => /^\d+:\d+:\d+$/.test(part));
}
