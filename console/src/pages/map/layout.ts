import type { MapNode } from '../../api/client';

/** Levels from the top of the map to its bottom; the last is what has no level. */
export const BANDS = ['5', '4', '3', '2', '1', '0', 'unknown'] as const;
export type Band = (typeof BANDS)[number];

export const CARD = { width: 136, height: 42 } as const;
export const CELL = { width: 152, height: 62 } as const;
export const LABEL_WIDTH = 108;
const BAND_GAP = 10;
const LEAST_COLUMNS = 8;

interface Slot {
  band: Band;
  index: number;
}

/** Where things are: a node keeps its slot for as long as it keeps its level. */
export interface Layout {
  slots: ReadonlyMap<string, Slot>;
  rows: Readonly<Record<Band, number>>;
  used: Readonly<Record<Band, number>>;
}

export interface Point {
  x: number;
  y: number;
}

export interface Geometry {
  width: number;
  height: number;
  bands: { band: Band; y: number; height: number }[];
  /** The centre of each node's card. */
  at: (id: string) => Point | undefined;
}

/** The public addresses are above everything that the plant owns. */
export function bandOf(node: Pick<MapNode, 'kind' | 'level'>): Band {
  if (node.kind === 'internet') {
    return '5';
  }
  return BANDS.find((band) => band === String(node.level)) ?? 'unknown';
}

function byPlace(one: MapNode, other: MapNode): number {
  return (
    compare(one.type, other.type) || compare(one.name, other.name) || compare(one.id, other.id)
  );
}

/** By code points, so that the order is the same in every browser. */
function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function perBand(value: (band: Band) => number): Record<Band, number> {
  return Object.fromEntries(BANDS.map((band) => [band, value(band)])) as Record<Band, number>;
}

/**
 * Gives each node a slot in its level's band: sorted the first time, later ones behind those that
 * are there. Bands fill column by column and grow to the right, so nothing moves when a node comes,
 * goes or returns. Only a band that has become twice as wide as meant is laid out anew.
 */
export function place(nodes: readonly MapNode[], kept?: Layout): Layout {
  const columns = Math.max(LEAST_COLUMNS, Math.ceil(Math.sqrt(nodes.length * 0.75)));
  const slots = new Map(kept?.slots);
  const used = perBand((band) => kept?.used[band] ?? 0);
  for (const node of [...nodes].sort(byPlace)) {
    const band = bandOf(node);
    if (slots.get(node.id)?.band !== band) {
      slots.set(node.id, { band, index: used[band] });
      used[band] += 1;
    }
  }
  const rows = perBand((band) => {
    const before = kept?.rows[band] ?? 1;
    const fresh = kept === undefined || (kept.used[band] ?? 0) === 0;
    const outgrown = used[band] > before * columns * 2;
    return fresh || outgrown ? Math.max(before, Math.ceil(used[band] / columns)) : before;
  });
  return { slots, rows, used };
}

/** The layout in the map's own units. */
export function measure({ slots, rows, used }: Layout): Geometry {
  let y = 0;
  const bands = BANDS.map((band) => {
    const height = rows[band] * CELL.height + BAND_GAP;
    const top = y;
    y += height;
    return { band, y: top, height };
  });
  const tops = new Map(bands.map((entry) => [entry.band, entry.y]));
  const columns = Math.max(
    LEAST_COLUMNS,
    ...BANDS.map((band) => Math.ceil(used[band] / rows[band])),
  );
  return {
    width: LABEL_WIDTH + columns * CELL.width,
    height: y,
    bands,
    at: (id) => {
      const slot = slots.get(id);
      if (slot === undefined) {
        return undefined;
      }
      const column = Math.floor(slot.index / rows[slot.band]);
      const row = slot.index % rows[slot.band];
      return {
        x: LABEL_WIDTH + (column + 0.5) * CELL.width,
        y: (tops.get(slot.band) ?? 0) + BAND_GAP / 2 + (row + 0.5) * CELL.height,
      };
    },
  };
}

/** The line between two cards: bent sideways in a row, else from edge to edge. */
export function line(from: Point, to: Point): string {
  if (from.y === to.y) {
    const dip = Math.min(30, 12 + Math.abs(to.x - from.x) / 40) + CARD.height / 2;
    return `M${from.x} ${from.y}Q${(from.x + to.x) / 2} ${from.y + dip * 2} ${to.x} ${to.y}`;
  }
  const down = to.y > from.y ? 1 : -1;
  const start = from.y + (down * CARD.height) / 2;
  const end = to.y - (down * CARD.height) / 2;
  const middle = (start + end) / 2;
  return `M${from.x} ${start}C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${end}`;
}
