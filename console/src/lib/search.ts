/** What the address bar may say about lists; anything else is left out. */
export type Search = Record<string, unknown>;

/** Text of a search parameter; the router reads bare numbers as such. */
export function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

/** A list of texts of a search parameter. */
export function texts(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map(text).filter((part) => part !== '');
}

/** One of the known values, else the first. */
export function oneOf<const T extends string>(value: unknown, known: readonly [T, ...T[]]): T {
  return known.find((entry) => entry === value) ?? known[0];
}

/** A whole number above zero. */
export function positive(value: unknown): number {
  const number = Number(value);
  return Number.isSafeInteger(number) && number > 0 ? number : 1;
}
