/** Values of this program as JSON has them for others. Pure. */

/** Other names for keys of one object. */
export type Names = Readonly<Record<string, string>>;

/** numKvBlocks → num_kv_blocks */
const snakeCase = (key: string): string => key.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();

/** With keys in snake_case at every depth, and typed arrays as lists. `names`: for keys of the value itself. */
export function snakeJson(value: unknown, names: Names = {}): unknown {
  if (ArrayBuffer.isView(value)) return Array.from(value as Float64Array);
  if (Array.isArray(value)) return value.map((each: unknown) => snakeJson(each, names));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [names[key] ?? snakeCase(key), snakeJson(each)] as const),
  );
}
