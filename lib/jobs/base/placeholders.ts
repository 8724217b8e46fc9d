/** What stands in a command's arguments for what only a shard knows: `${shard_index}`. Pure. */
import type { Json } from './job.js';

/** `${name}` or `${name.key}`. A dollar sign that isn't one stays. */
const PLACEHOLDER = /\$\{([a-z_]+)(?:\.([A-Za-z0-9_-]+))?\}/g;

/** One of them. */
export interface Placeholder {
  /** As it stands there: '${item.seed}'. */
  readonly text: string;
  readonly name: string;
  /** Behind the dot; null: none. */
  readonly key: string | null;
}

/** Those that there are; `.KEY`: of a mapping. `inputs` is put in by the worker, all others before. */
export const PLACEHOLDERS = {
  shard_index: 'from 0',
  shard_total: 'how many shards there are',
  item: 'the value of the shard, or ${item.KEY} of it',
  param: '${param.KEY}: what `jobs run --param KEY=VALUE` gave',
  run: "the run's id",
  job: "the job's name",
  inputs: 'the folder with a folder of files for each node of `needs`',
} as const;

/** In their order. */
export function placeholdersIn(text: string): readonly Placeholder[] {
  return [...text.matchAll(PLACEHOLDER)].map(([whole, name, key]) => ({ text: whole, name: name!, key: key ?? null }));
}

/** With what `valueOf` says in their places; undefined: it stays as it is. */
export const filled = (text: string, valueOf: (placeholder: Placeholder) => string | undefined): string =>
  text.replace(
    PLACEHOLDER,
    (whole, name: string, key?: string) => valueOf({ text: whole, name, key: key ?? null }) ?? whole,
  );

/** A value as an argument has it: a text as it is, all else as JSON. */
export const argumentOf = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));
