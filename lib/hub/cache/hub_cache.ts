/** Where the cache of the hub's own tools is on this machine, by their variables. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Variables of the environment, as whoever owns the process passes them down. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What the hub's tools keep for a user, the cache among it: HF_HOME, or its default. */
export function hubHome(env: Environment): string {
  const caches = given(env, 'XDG_CACHE_HOME') ?? join(homeOf(env), '.cache');
  return given(env, 'HF_HOME') ?? join(caches, 'huggingface');
}

/** The folder of the cache: HF_HUB_CACHE, its older name, or `hub` in {@link hubHome}. Nothing is made. */
export const hubCacheFolder = (env: Environment): string =>
  given(env, 'HF_HUB_CACHE') ?? given(env, 'HUGGINGFACE_HUB_CACHE') ?? join(hubHome(env), 'hub');

/** The path that a variable holds, with `~` and `$NAME` put in as the hub's Python library does; undefined where it is unset or empty. */
export function given(env: Environment, name: string): string | undefined {
  const path = env[name];
  if (path === undefined || path === '') return undefined;
  return path
    .replace(/^~(?=\/|$)/, () => homeOf(env))
    .replace(/\$(?:(\w+)|\{(\w+)\})/g, (all, bare?: string, braced?: string) => env[bare ?? braced!] ?? all);
}

const homeOf = (env: Environment): string => env.HOME ?? homedir();
