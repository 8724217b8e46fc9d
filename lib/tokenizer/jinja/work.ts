/** What a rendering does, counted. Why: docs/decisions/chats.md#a-template-is-foreign-code */
import { TemplateError } from './values/errors.js';
import { Dict, Lazy, Range, Tuple, View, type Value } from './values/values.js';

/** The most work of one rendering: statements, parts of expressions, members of what is made or gone through, and 64 characters each of its texts. */
const MAX_WORK = 20_000_000;

/** Work done in a rendering, which is limited. */
export class Work {
  private done = 0;
  /** Costs of lists, tuples and dicts: none of them changes once a template has it. */
  private readonly costs = new WeakMap<object, number>();

  /** @throws TemplateError TEMPLATE_LIMIT */
  add(amount: number): void {
    this.done += amount;
    if (this.done > MAX_WORK)
      throw new TemplateError('TEMPLATE_LIMIT', `the template runs for more than ${MAX_WORK} steps`);
  }

  /** Values are gone through, with all that is in them. @throws TemplateError TEMPLATE_LIMIT */
  walk(...values: readonly Value[]): void {
    for (const value of values) this.add(this.costOf(value));
  }

  /** Both are gone through until one ends. @throws TemplateError TEMPLATE_LIMIT */
  compare(a: Value, b: Value): void {
    this.add(Math.min(this.costOf(a), this.costOf(b)));
  }

  /** Of going through a value and all that is in it: what it has twice is gone through twice. */
  private costOf(value: Value): number {
    if (typeof value === 'string') return 1 + value.length / 64;
    if (value instanceof Range) return value.length;
    const members = membersOf(value);
    if (members === null) return 1;
    const known = this.costs.get(members.of);
    if (known !== undefined) return known;
    const cost = members.items().reduce<number>((sum, item) => sum + this.costOf(item), 1);
    this.costs.set(members.of, cost);
    return cost;
  }
}

/** What it costs to make a value, or to go through it alone. */
export const sizeOf = (value: Value): number => {
  if (typeof value === 'string') return value.length / 64;
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Lazy) return value.source.length;
  if (value instanceof View) return value.dict.size;
  return value instanceof Range || Array.isArray(value) ? value.length : 0;
};

/** Null: nothing is in it. */
function membersOf(value: Value): { readonly of: object; items(): readonly Value[] } | null {
  if (Array.isArray(value)) return { of: value, items: () => value as readonly Value[] };
  if (value instanceof Tuple) return { of: value, items: () => value.items };
  if (value instanceof Lazy) return { of: value, items: () => value.source };
  if (value instanceof View) return membersOf(value.dict);
  return value instanceof Dict ? { of: value, items: () => value.entries().flat() } : null;
}
