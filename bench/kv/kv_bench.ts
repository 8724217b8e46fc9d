/** What each measurement of `bench kv` is given. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { KvBenchOptions } from './options.js';

/** What all measurements share. */
export interface KvBench extends Omit<KvBenchOptions, 'names' | 'json'> {
  /** For configurations, tiers and models, and a home too: what is kept there is gone afterwards. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** A new folder in that of the benchmark. */
export async function folderIn({ folder }: Pick<KvBench, 'folder'>, name: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  return path;
}
