import { CodedError } from '../../base/coded_error.js';
import { printable } from '../../base/foreign_text.js';

/** Everything that can be wrong with a plug-in; the message begins with the code and names the plug-in. */
export type PluginErrorCode =
  | 'INVALID_PLUGIN' // it can't be loaded: a file that is missing, a mistake in its syntax, a registration that can't be
  | 'PLUGIN_FAILED' // what it registered threw, or gave what can't be used
  | 'PLUGINS_DIFFER'; // a rank has other code than the head, or the same code gives other results there

/** What it brought: a kind and the name that it registered. */
export interface Brought {
  readonly kind: 'family' | 'gate' | 'planner' | 'replica choice' | 'tier policy' | 'codec' | 'routing policy';
  readonly name: string;
}

/** Which plug-in, and what of it. */
export interface PluginErrorContext {
  /** The path of its module. */
  readonly plugin: string;
  readonly brought?: Brought | undefined;
  readonly cause?: unknown;
}

/** The only error class that lib/plugins throws. */
export class PluginError extends CodedError<PluginErrorCode> {
  readonly plugin: string;
  readonly brought: Brought | undefined;

  /** @param text what it did, as in 'gave 3 values; give 4': who did it is put before */
  constructor(code: PluginErrorCode, text: string, { plugin, brought, cause }: PluginErrorContext) {
    const what = brought === undefined ? '' : `, ${brought.kind} "${printable(brought.name)}"`;
    super(code, `plug-in ${printable(plugin)}${what}: ${text}`, { cause });
    this.plugin = plugin;
    this.brought = brought;
  }
}
