/** Arguments of calls, in the order in which a function has its parameters. */
import { isTrue, numberOf } from './compare.js';
import { failed } from './errors.js';
import { typeName, Undefined, type Arguments, type Value } from './values.js';

/** Arguments that a function understands by place or by name. */
export class Parameters {
  private readonly values: readonly (Value | undefined)[];

  /**
   * @param what the function, for messages
   * @param names of its parameters, in order
   * @param numRequired how many of them have to be given
   * @throws TemplateError TEMPLATE_FAILED where there are others, or too few
   */
  constructor(
    private readonly what: string,
    { positional, named }: Arguments,
    private readonly names: readonly string[],
    numRequired = 0,
  ) {
    if (positional.length > names.length) {
      throw failed(`${what}() takes ${names.length} arguments but ${positional.length} were given`);
    }
    for (const name of named.keys()) {
      const place = names.indexOf(name);
      if (place < 0) throw failed(`${what}() got an unexpected keyword argument '${name}'`);
      if (place < positional.length) throw failed(`${what}() got multiple values for argument '${name}'`);
    }
    this.values = names.map((name, i) => (i < positional.length ? positional[i] : named.get(name)));
    const missing = names.slice(0, numRequired).find((_, i) => this.values[i] === undefined);
    if (missing !== undefined) throw failed(`${what}() is missing the argument '${missing}'`);
  }

  /** Undefined (JavaScript's) where it wasn't given. */
  value(name: string): Value | undefined {
    return this.values[this.names.indexOf(name)];
  }

  /** The fallback where it wasn't given; None is given. */
  valueOr(name: string, fallback: Value): Value {
    const value = this.value(name);
    return value === undefined ? fallback : value;
  }

  /** @throws TemplateError TEMPLATE_FAILED where it is no text */
  text(name: string, fallback: string): string {
    const value = this.valueOr(name, fallback);
    if (typeof value === 'string') return value;
    throw this.wrong(name, 'a str', value);
  }

  /** @throws TemplateError TEMPLATE_FAILED where it is no whole number */
  integer(name: string, fallback: number): number {
    const value = numberOf(this.valueOr(name, BigInt(fallback)));
    if (typeof value === 'bigint') return Number(value);
    throw this.wrong(name, 'an int', this.value(name)!);
  }

  /** None is as if it wasn't given. @throws TemplateError TEMPLATE_FAILED where it is neither */
  integerOrNone(name: string): number | null {
    return this.value(name) == null ? null : this.integer(name, 0);
  }

  /** By its truth. */
  flag(name: string, fallback: boolean): boolean {
    const value = this.value(name);
    return value === undefined ? fallback : isTrue(value);
  }

  private wrong(name: string, wanted: string, value: Value): Error {
    if (value instanceof Undefined) return value.error;
    return failed(`${this.what}(): '${name}' must be ${wanted}, not ${typeName(value)}`);
  }
}
