/** What is wrong with the fields of a form, by the path that the API names. */
export type FieldProblems = Readonly<Record<string, string | undefined>>;

/** The API's lines `path: reason` by path; of several about one field the first. */
export function fieldProblems(invalid: readonly string[]): FieldProblems {
  const found = new Map<string, string>();
  for (const line of invalid) {
    const at = line.indexOf(': ');
    const path = at < 0 ? '' : line.slice(0, at);
    if (!found.has(path)) {
      found.set(path, line.slice(at < 0 ? 0 : at + 2));
    }
  }
  return Object.fromEntries(found);
}
