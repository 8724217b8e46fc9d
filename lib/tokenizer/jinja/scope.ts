import { TemplateError } from './values/errors.js';
import { Undefined, type Value } from './values/values.js';

/** The most work of one rendering: statements, parts of expressions, and members of lists that these make. */
const MAX_WORK = 20_000_000;

/** Work done in a rendering, which is limited. Why: docs/decisions/chats.md#a-template-is-foreign-code */
export class Work {
  private done = 0;

  /** @throws TemplateError TEMPLATE_LIMIT */
  add(amount: number): void {
    this.done += amount;
    if (this.done > MAX_WORK)
      throw new TemplateError('TEMPLATE_LIMIT', `the template runs for more than ${MAX_WORK} steps`);
  }
}

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
