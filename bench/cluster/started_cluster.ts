/** `expertwire cluster FILE` in processes of its own: instances, and a router before them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { closing } from '../../lib/commands/base/closing.js';
import { Served } from '../base/served.js';
import type { ClusterBench } from './measurement.js';

/** What it is made of. */
export interface ClusterShape {
  /** Of its file. */
  readonly name: string;
  readonly model: string;
  readonly instances: number;
  readonly policy: string;
  readonly set: readonly string[];
}

/** Starts it, and ends it whatever `use` does. @throws BenchError PROCESS_DIED: what it said */
export async function withCluster<T>(
  { folder, env, signal, set }: Pick<ClusterBench, 'folder' | 'env' | 'signal' | 'set'>,
  { name, model, instances, policy, set: own }: ClusterShape,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const file = join(folder, `${name}.yaml`);
  // JSON is YAML.
  await writeFile(file, JSON.stringify({ model, instances: [{ count: instances, ranks: 1 }], router: { policy } }));
  const keys = [...own, ...set].flatMap((key) => ['--set', key]);
  const served = await Served.start({ command: 'cluster', args: [file, ...keys], env, signal });
  return closing(
    () => served.end(),
    () => use(served.url),
  );
}
