/** A node's command, as far as it can be looked at where a file is read. Pure. */
import { shown } from '../../../base/foreign_text.js';
import { CodedError } from '../../../base/coded_error.js';
import { errorAt, nearestOf, type OriginOf } from '../../experiment/file/checked_part.js';
import type { Json, Shards } from '../base/job.js';
import { PLACEHOLDERS, placeholdersIn, type Placeholder } from '../base/placeholders.js';
import { commandWords } from '../work/command_words.js';
import { settingPaths } from '../work/settings.js';

/** What its placeholders may stand for. */
export interface CommandPlace {
  readonly shards: Shards;
  readonly hasNeeds: boolean;
  /** It runs without anybody who gives it parameters. */
  readonly hasTriggers: boolean;
}

type Path = readonly PropertyKey[];

/** @throws ConfigError for a command, an option or a placeholder that there isn't */
export function checkCommand(args: readonly string[], place: CommandPlace, path: Path, originOf: OriginOf): void {
  for (const [i, arg] of args.entries())
    for (const placeholder of placeholdersIn(arg)) {
      const why = refusalOf(placeholder, place);
      if (why !== null)
        throw errorAt(originOf, [...path, i], 'INVALID_VALUE', `${shown(arg)}: ${placeholder.text} ${why}`);
    }
  try {
    const { words } = commandWords(args);
    for (const { kind, value } of words)
      if (kind === 'setting' && placeholdersIn(value!).length === 0) settingPaths(value!);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    throw errorAt(originOf, path, 'INVALID_VALUE', `"command" is refused: ${error.text}`);
  }
}

/** Null: it can be filled. */
function refusalOf({ name, key }: Placeholder, { shards, hasNeeds, hasTriggers }: CommandPlace): string | null {
  const names = Object.keys(PLACEHOLDERS);
  if (!names.includes(name)) return `is no placeholder; ${nearestOf(name, names, `there are ${names.join(', ')}`)}`;
  if (name === 'param') {
    if (key === null) return 'lacks the key of a parameter; write ${param.KEY}';
    return hasTriggers
      ? 'has nobody who gives it where a trigger begins the run; remove the triggers, or write the value'
      : null;
  }
  if (key !== null && name !== 'item') return `has no keys; write \${${name}}`;
  if (name === 'inputs') return hasNeeds ? null : 'is empty without "needs"; name the nodes whose files it has';
  if (name !== 'item') return null;
  if (shards.kind !== 'each') return 'has no value without a list of "shards"; give one';
  const without = key === null ? -1 : shards.items.findIndex((item) => !hasKey(item, key));
  return without < 0
    ? null
    : `isn't in value ${without + 1} of "shards" (${shown(shards.items[without])}); give each that key`;
}

const hasKey = (item: Json, key: string): boolean =>
  typeof item === 'object' && item !== null && !Array.isArray(item) && Object.hasOwn(item, key);
