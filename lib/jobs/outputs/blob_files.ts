/** Files of shards on the disk. */
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { JobBus } from '../base/job_bus.js';
import type { OutputFile, Shard } from '../base/task.js';

/** Where files are. */
export type OutputBus = Pick<JobBus, 'records' | 'blobs'>;

/** A shard that has ended. */
export interface EndedShard {
  readonly index: number;
  readonly shard: Exclude<Shard, { readonly state: 'trying' }>;
}

/** Files at a time. */
const WIDTH = 8;

/** A file as it was left, where folders for it are made. */
export async function writeBlob(
  { blobs }: Pick<OutputBus, 'blobs'>,
  { blob }: Pick<OutputFile, 'blob'>,
  path: string,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await pipeline(blobs.get(blob), createWriteStream(path));
}

/** Some at a time, begun in order. */
export async function eachOf<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const work = async (): Promise<void> => {
    for (const item of rest) await act(item);
  };
  await Promise.all(Array.from({ length: WIDTH }, work));
}
