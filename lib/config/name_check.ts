/** Whether everything is there that a configuration names and plug-ins may bring. Pure. */
import { closest } from 'fastest-levenshtein';
import { shown } from '../../base/foreign_text.js';
import { valueAt } from '../../base/foreign_value.js';
import { ConfigError } from './errors.js';
import { isNear, type Origin } from './layers.js';
import { PLUGIN_NAMES, type BroughtNames, type PluginKind } from './plugin_names.js';

/** The sections in which those keys are. */
interface NamingConfig {
  readonly experts: { readonly gate: string; readonly replica_choice: string; readonly tier_policy: string };
  readonly load_balance: { readonly planner: string };
  readonly comm: { readonly wire: { readonly dispatch: string; readonly combine: string } };
  readonly router: { readonly policy: string };
}

/**
 * Whether everything that a configuration names is there. `originOf`: where a key's value came from, where that is known.
 * @throws ConfigError INVALID_VALUE with all names that there are
 */
export function checkNames(
  config: NamingConfig,
  brought: BroughtNames,
  originOf: (path: readonly string[]) => Origin | undefined = () => undefined,
): void {
  for (const [key, { kind, builtIn }] of Object.entries(PLUGIN_NAMES)) {
    const path = key.split('.');
    const name = valueAt(config, path) as string;
    const names = [...builtIn, ...(brought.get(kind) ?? [])];
    if (!names.includes(name))
      throw unknownName(key, name, { kind, names, hasPlugins: brought.size > 0 }, originOf(path));
  }
}

function unknownName(
  key: string,
  name: string,
  {
    kind,
    names,
    hasPlugins,
  }: { readonly kind: PluginKind; readonly names: readonly string[]; readonly hasPlugins: boolean },
  origin: Origin | undefined,
): ConfigError {
  const nearest = closest(name, names);
  const guess = isNear(name, nearest) ? ` (did you mean "${nearest}"?)` : '';
  const where = origin === undefined ? '' : `${origin.where}: `;
  const others = hasPlugins
    ? `no plug-in brought a ${kind} of that name`
    : `or list a plug-in that brings one in "plugins"`;
  return new ConfigError(
    'INVALID_VALUE',
    `${where}"${key}" is ${shown(name)}${guess}; allowed is ${names.join(', ')}; ${others}`,
    {
      key,
      file: origin?.file,
      line: origin?.line,
    },
  );
}
