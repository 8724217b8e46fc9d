/** Numbers that a launcher sets in the environment of a task: pure. */
import { CommError } from '../base/errors.js';
import { asRank, type Rank } from '../../base/ids.js';

/** Variables of a task. */
export type TaskEnv = Readonly<Record<string, string | undefined>>;

/** Names of the variables with a task's numbers. */
export type RankNames = Readonly<Record<'rank' | 'size' | 'localRank', string>>;

/** A task's numbers. Without a local rank it is the rank. @throws CommError INVALID_ARGUMENT naming the variable */
export function ranksOf(
  env: TaskEnv,
  names: RankNames,
): { readonly rank: Rank; readonly size: number; readonly localRank: number } {
  const size = numberOf(env, names.size, 65535);
  const rank = numberOf(env, names.rank, 65534);
  const localRank = env[names.localRank] === undefined ? rank : numberOf(env, names.localRank, 65534);
  if (rank >= size) {
    const message = `${names.rank} is ${rank} but ${names.size} is ${size}; start every task with the same launcher`;
    throw new CommError('INVALID_ARGUMENT', message);
  }
  return { rank: asRank(rank), size, localRank };
}

/** How many tasks are on this machine, where that variable is set. @throws CommError INVALID_ARGUMENT naming it */
export const localSizeOf = (env: TaskEnv, name: string): { readonly localSize?: number } =>
  env[name] === undefined ? {} : { localSize: numberOf(env, name, 65535) };

/** @throws CommError INVALID_ARGUMENT where the variable is no integer from 0 to `max` */
export function numberOf(env: TaskEnv, name: string, max: number): number {
  const text = env[name];
  const value = Number(text);
  if (text !== undefined && /^\d+$/.test(text) && value <= max) return value;
  const found = text === undefined ? 'not set' : `'${text}'`;
  throw new CommError('INVALID_ARGUMENT', `${name} is ${found}; the launcher sets an integer from 0 to ${max}`);
}
