/** Where the keys of a server come from: never from an argument, which every user of the machine can read, nor from YAML, which ends up in repositories. */
import { readFile } from 'node:fs/promises';
import { causeText, textOf } from '../../../base/foreign_text.js';
import { UsageError } from '../base/context.js';

/** The variable of the environment that may hold API keys, with commas between them. */
export const API_KEY_VARIABLE = 'EXPERTWIRE_API_KEY';

/** The variable of the environment that may hold the keys by which routers and instances of a cluster know each other. */
export const CLUSTER_KEY_VARIABLE = 'EXPERTWIRE_CLUSTER_KEY';

type Environment = Readonly<Record<string, string | undefined>>;

/** The keys of a file, one a line, or of a variable of the environment. None: everybody may call. @throws UsageError */
export const readApiKeys = (
  file: string | undefined,
  env: Environment,
  variable = API_KEY_VARIABLE,
): Promise<readonly string[]> => readKeys(file, env, { variable, option: '--api-key-file' });

/** As {@link readApiKeys}. None: who calls from this machine belongs to the cluster. The first is the one that is sent. @throws UsageError */
export const readClusterKeys = (file: string | undefined, env: Environment): Promise<readonly string[]> =>
  readKeys(file, env, { variable: CLUSTER_KEY_VARIABLE, option: '--cluster-key-file' });

interface KeySource {
  readonly variable: string;
  readonly option: string;
}

async function readKeys(
  file: string | undefined,
  env: Environment,
  { variable, option }: KeySource,
): Promise<readonly string[]> {
  const where = file === undefined ? variable : `${option} ${file}`;
  const text = file === undefined ? env[variable] : await readKeyFile(file, option);
  if (text === undefined) return [];
  const keys = text.split(file === undefined ? ',' : '\n').flatMap((key) => (key.trim() === '' ? [] : [key.trim()]));
  // Who gave an empty one did not mean a server without keys.
  if (keys.length === 0) throw new UsageError(`${where} has no key; put random characters into it, or leave it out`);
  if (keys.some((key) => /[^\x21-\x7e]/.test(key))) {
    throw new UsageError(
      `${where} has a key with a space or a character outside ASCII, which no header can carry; give another`,
    );
  }
  return keys;
}

async function readKeyFile(file: string, option: string): Promise<string> {
  try {
    return textOf(await readFile(file));
  } catch (cause) {
    throw new UsageError(`${option} ${file} can't be read (${causeText(cause)})`);
  }
}
