import { expect, test } from 'vitest';
import type { MapNode } from '../../api/client';
import { BANDS, bandOf, CARD, type Layout, line, measure, place } from './layout';
import { fitted, zoomed } from './use-view';

function node(id: string, level: number | null, more: Partial<MapNode> = {}): MapNode {
  return {
    id,
    kind: 'device',
    name: id,
    type: 'PLC',
    vendor: null,
    level,
    devices: 1,
    addresses: 1,
    named: [],
    alerts: {},
    peer: false,
    ...more,
  };
}

function some(count: number, level: number | null, from = 0): MapNode[] {
  return Array.from({ length: count }, (_, at) => node(`n${level}-${from + at}`, level));
}

function spots(layout: Layout, nodes: MapNode[]): unknown[] {
  const { at } = measure(layout);
  return nodes.map((entry) => at(entry.id));
}

test('levels are bands from the internet down to the process, unknown ones below', () => {
  const nodes = [node('x', null), node('p', 0), node('c', 1), node('e', 5)];
  const internet = node('internet', null, { kind: 'internet' });
  const { at } = measure(place([...nodes, internet]));
  const y = (id: string): number => at(id)?.y ?? Number.NaN;

  expect(bandOf(internet)).toBe('5');
  expect(y('internet')).toBe(y('e'));
  expect(y('e')).toBeLessThan(y('c'));
  expect(y('c')).toBeLessThan(y('p'));
  expect(y('p')).toBeLessThan(y('x'));
});

test('the same nodes in any order are laid out the same', () => {
  const nodes = [...some(20, 1), ...some(3, 2), ...some(9, null)];

  expect(spots(place([...nodes].reverse()), nodes)).toEqual(spots(place(nodes), nodes));
});

test('nothing moves when nodes come, go and return', () => {
  const first = [...some(10, 1), ...some(2, 2)];
  const before = place(first);
  const later = place([...first, node('a', 1), ...some(6, 2, 2), node('b', 4)], before);
  expect(spots(later, first)).toEqual(spots(before, first));

  const filtered = place(first.slice(0, 2), later);
  const back = place(first, filtered);
  expect(spots(back, first)).toEqual(spots(before, first));
});

test('no two nodes share a place, and all are inside their band', () => {
  const first = [...some(30, 1), ...some(5, 0)];
  const nodes = [...first, ...some(400, 1, 30), ...some(40, null)];
  const layout = place(nodes, place(first));
  const { at, bands, width } = measure(layout);

  expect(new Set(nodes.map((entry) => JSON.stringify(at(entry.id)))).size).toBe(nodes.length);
  for (const entry of nodes) {
    const spot = at(entry.id);
    const band = bands.find(({ band: name }) => name === bandOf(entry));
    expect(spot?.y).toBeGreaterThan((band?.y ?? 0) + CARD.height / 2 - 1);
    expect(spot?.y).toBeLessThan((band?.y ?? 0) + (band?.height ?? 0) - CARD.height / 2 + 1);
    expect(spot?.x).toBeLessThan(width - CARD.width / 2);
  }
});

test('a band that has outgrown its rows gets more of them', () => {
  const first = some(4, 1);
  const rows = place(some(500, 1), place(first)).rows['1'];

  expect(rows).toBeGreaterThan(1);
  expect(rows * 40).toBeGreaterThan(500);
});

test('a device whose level becomes known moves there, others stay', () => {
  const nodes = [...some(4, null), ...some(4, 1)];
  const before = place(nodes);
  const known = node('nnull-1', 1);
  const after = place([...nodes.filter((entry) => entry.id !== known.id), known], before);

  expect(after.slots.get(known.id)?.band).toBe('1');
  const others = nodes.filter((entry) => entry.id !== known.id);
  expect(spots(after, others)).toEqual(spots(before, others));
});

test('all levels are there even when they are empty', () => {
  expect(measure(place([node('c', 1)])).bands.map(({ band }) => band)).toEqual([...BANDS]);
});

test('lines join edges of cards between rows and bend within one', () => {
  const down = line({ x: 0, y: 0 }, { x: 10, y: 100 });
  expect(down.startsWith(`M0 ${CARD.height / 2}C`)).toBe(true);
  expect(down.endsWith(`10 ${100 - CARD.height / 2}`)).toBe(true);
  expect(line({ x: 0, y: 0 }, { x: 100, y: 0 })).toContain('Q50 ');
});

test('zooming keeps the point under the pointer', () => {
  const view = { scale: 1, x: 5, y: 7 };
  const at = { x: 105, y: 57 };
  const next = zoomed(view, 2, at);

  expect((at.x - next.x) / next.scale).toBeCloseTo((at.x - view.x) / view.scale);
  expect((at.y - next.y) / next.scale).toBeCloseTo((at.y - view.y) / view.scale);
  expect(zoomed(view, 1e9, at).scale).toBe(zoomed(view, 1e6, at).scale);
});

test('the whole map fits its frame', () => {
  const view = fitted({ width: 3000, height: 500 }, { width: 1000, height: 800 });
  expect(view.scale * 3000).toBeLessThanOrEqual(1000);
  expect(view.y + view.scale * 500).toBeLessThanOrEqual(800);
});
