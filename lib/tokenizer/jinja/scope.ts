import { Undefined, type Value } from './values/values.js';
import { Work } from './work.js';

/** Names and their values: those set here, and those of the scopes around. */
export class Scope {
  private readonly values = new Map<string, Value>();
  /** Of all scopes of a rendering together. */
  readonly work: Work;

  constructor(private readonly outer: Scope | null) {
    this.work = outer?.work ?? new Work();
  }

  /** What has no value is undefined. */
  get(name: string): Value {
    const value = this.find(name);
    return value === undefined ? new Undefined(`'${name}' is undefined`) : value;
  }

  /** Here, whatever the scopes around have. */
  set(name: string, value: Value): void {
    this.values.set(name, value);
  }

  private find(name: string): Value | undefined {
    const value = this.values.get(name);
    return value === undefined ? this.outer?.find(name) : value;
  }
}
