import { TemplateError } from './values/errors.js';
import { globalsOf } from './functions/globals.js';
import type { Body } from './syntax/nodes.js';
import { parseTemplate } from './syntax/parser.js';
import { valueOf } from './values/plain.js';
import { Renderer } from './renderer.js';
import { Scope } from './scope.js';

/** A Jinja template as transformers renders chat templates: Jinja2's language with `trim_blocks`, `lstrip_blocks`, loop controls and `{% generation %}`. */
export class Template {
  private readonly body: Body;

  /** @throws TemplateError TEMPLATE_SYNTAX */
  constructor(source: string) {
    this.body = withinStack(() => parseTemplate(source));
  }

  /**
   * The text that it writes.
   *
   * @param variables what it sees, by name: plain data, see `valueOf`
   * @param now what `strftime_now` tells. Default: this machine's time
   * @throws TemplateError TEMPLATE_FAILED, TEMPLATE_RAISED, TEMPLATE_LIMIT
   */
  render(variables: Readonly<Record<string, unknown>>, now: () => Date = () => new Date()): string {
    const globals = new Scope(null);
    for (const [name, value] of globalsOf(now)) globals.set(name, value);
    return withinStack(() => {
      for (const [name, value] of Object.entries(variables)) if (value !== undefined) globals.set(name, valueOf(value));
      return new Renderer().render(this.body, new Scope(globals));
    });
  }
}

/** What is nested too deeply for this program's stack is told as such. */
function withinStack<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError)
      throw new TemplateError(
        'TEMPLATE_LIMIT',
        `the template is nested too deeply, or makes too long a text (${error.message})`,
      );
    throw error;
  }
}
