/**
 * What expressions are made of: Python's values as JavaScript has them.
 *
 * None is null, bool boolean, int bigint, float number, str string, list an array. Others have classes here.
 */
import { failed, TemplateError } from './errors.js';

/** Any value. */
export type Value =
  | null
  | boolean
  | bigint
  | number
  | string
  | readonly Value[]
  | Undefined
  | Tuple
  | Dict
  | View
  | Range
  | Lazy
  | Callable
  | Attributed;

/** What has no value: it prints as nothing, is false and empty, and everything else that is done with it fails. */
export class Undefined {
  /** @param why what a use of it reports */
  constructor(readonly why: string) {}

  /** The error for a use of it. */
  get error(): TemplateError {
    return failed(this.why);
  }
}

/** A tuple. */
export class Tuple {
  constructor(readonly items: readonly Value[]) {}
}

/** A dict: its keys keep their order, and 1, 1.0 and True are one key. */
export class Dict {
  private readonly pairs = new Map<unknown, readonly [key: Value, value: Value]>();

  /** @throws TemplateError TEMPLATE_FAILED where a key can't be hashed */
  constructor(pairs: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of pairs) this.set(key, value);
  }

  /** How many keys it has. */
  get size(): number {
    return this.pairs.size;
  }

  /** For whoever makes a dict, before a template sees it. */
  set(key: Value, value: Value): void {
    const hashed = hashOf(key);
    this.pairs.set(hashed, [this.pairs.get(hashed)?.[0] ?? key, value]);
  }

  /** Undefined (JavaScript's) where it hasn't the key. */
  get(key: Value): Value | undefined {
    return this.pairs.get(hashOf(key))?.[1];
  }

  /** Whether it has the key. */
  has(key: Value): boolean {
    return this.pairs.has(hashOf(key));
  }

  /** Keys with their values, in order. */
  entries(): readonly (readonly [Value, Value])[] {
    return [...this.pairs.values()];
  }
}

/** What `keys()`, `values()` and `items()` of a dict give. */
export class View {
  constructor(
    readonly kind: 'keys' | 'values' | 'items',
    readonly dict: Dict,
  ) {}

  /** Its members, in order. */
  items(): readonly Value[] {
    const pairs = this.dict.entries();
    if (this.kind === 'keys') return pairs.map(([key]) => key);
    if (this.kind === 'values') return pairs.map(([, value]) => value);
    return pairs.map((pair) => new Tuple(pair));
  }
}

/** What `range` gives. */
export class Range {
  constructor(
    readonly start: bigint,
    readonly stop: bigint,
    readonly step: bigint,
  ) {}

  /** How many numbers it has. */
  get length(): number {
    const span = this.step > 0n ? this.stop - this.start : this.start - this.stop;
    const step = this.step > 0n ? this.step : -this.step;
    return span <= 0n ? 0 : Number((span + step - 1n) / step);
  }

  /** All of them. */
  items(): readonly bigint[] {
    return Array.from({ length: this.length }, (_, i) => this.start + BigInt(i) * this.step);
  }
}

/** What can be gone through once: what `map`, `select` and others give. */
export class Lazy {
  /** What is left to go through. */
  readonly iterator: IterableIterator<Value>;

  constructor(
    readonly what: string,
    /** All that it had to begin with. */
    readonly source: readonly Value[],
  ) {
    this.iterator = source.values();
  }
}

/** Arguments as a call has them. */
export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

/** What can be called. */
export class Callable {
  constructor(
    readonly name: string,
    readonly call: (args: Arguments) => Value,
    /** A macro tells its own: `name`, `arguments`, … */
    readonly attributes: ReadonlyMap<string, Value> = new Map(),
  ) {}
}

/** An object of which attributes are all that is to be had: a namespace, `loop`, … */
export class Attributed {
  constructor(
    readonly what: string,
    /** Undefined (JavaScript's) where it hasn't the attribute. */
    readonly attribute: (name: string) => Value | undefined,
    /** Refused where it is undefined. */
    readonly assign?: (name: string, value: Value) => void,
    /** Undefined: can't be called. */
    readonly call?: (args: Arguments) => Value,
  ) {}
}

/** What a key is found by. @throws TemplateError TEMPLATE_FAILED for what can change */
function hashOf(key: Value): unknown {
  if (typeof key === 'string') return `s${key}`;
  if (typeof key === 'boolean' || typeof key === 'bigint') return `n${BigInt(key)}`;
  if (typeof key === 'number') return Number.isInteger(key) ? `n${BigInt(key)}` : `n${key}`;
  if (key instanceof Undefined) return 'undefined';
  if (key instanceof Tuple) {
    const parts = key.items.map((item) => String(hashOf(item)));
    return `t${parts.map((part) => `${part.length}:${part}`).join('')}`;
  }
  if (Array.isArray(key) || key instanceof Dict) throw failed(`unhashable type: '${typeName(key)}'`);
  return key;
}

/** What Python calls the type of a value. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float';
  if (typeof value === 'string') return 'str';
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Tuple) return 'tuple';
  if (value instanceof Dict) return 'dict';
  if (value instanceof View) return `dict_${value.kind}`;
  if (value instanceof Range) return 'range';
  if (value instanceof Lazy) return 'generator';
  if (value instanceof Callable) return 'function';
  return value instanceof Attributed ? value.what : 'list';
}
