/** How a function of a plug-in is called: what it throws and what it gives is told under the plug-in's name. */
import { causeText, shown } from '../../base/foreign_text.js';
import { isThenable } from '../../base/foreign_value.js';
import { PluginError, type PluginErrorContext } from './errors.js';

/** Whose function it is. */
export type Owner = Pick<PluginErrorContext, 'plugin' | 'brought'>;

/**
 * What a function gives at once. `where`: the circumstances, as in 'in layer 2'.
 * @throws PluginError PLUGIN_FAILED where it throws or gives a promise
 */
export function given<T>(owner: Owner, where: string, call: () => T): T {
  let value: T;
  let isLater: boolean;
  try {
    value = call();
    isLater = isThenable(value);
  } catch (cause) {
    throw failed(owner, `threw${spaced(where)}: ${causeText(cause)}; mend it`, cause);
  }
  if (!isLater) return value;
  void Promise.resolve(value).catch(() => undefined); // nobody waits for it
  throw failed(owner, `gave a promise${spaced(where)}; it must give its result at once`);
}

/** The same where it may give a promise. @throws PluginError PLUGIN_FAILED: it throws or rejects */
export async function givenLater<T>(owner: Owner, where: string, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw failed(owner, `threw${spaced(where)}: ${causeText(cause)}; mend it`, cause);
  }
}

/** A value as a message shows it: of arrays their kind and length. */
export function kindOf(value: unknown): string {
  if (ArrayBuffer.isView(value) && 'length' in value) return `${value.constructor.name} of ${String(value.length)}`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return shown(value);
}

/** What can't be used. `text`: what it did and what to do, as in 'gave 3 values; give 4'. */
export const failed = (owner: Owner, text: string, cause?: unknown): PluginError =>
  new PluginError('PLUGIN_FAILED', text, { ...owner, cause });

const spaced = (where: string): string => (where === '' ? '' : ` ${where}`);
