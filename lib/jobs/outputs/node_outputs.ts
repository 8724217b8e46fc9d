/** What a node of a run left, written into a folder: files of its shards; of an experiment a folder of results; of a batch its rows. */
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { runOf, shardOf } from '../base/parse.js';
import { runRecord } from '../base/task.js';
import { eachOf, writeBlob, type EndedShard, type OutputBus } from './blob_files.js';
import { writeExperiment } from './experiment_results.js';

/** A node of a run. */
export interface NodeKey {
  readonly run: string;
  readonly node: string;
}

/**
 * Writes all of it into a folder, which is made: `FILE` where there is one shard, otherwise `INDEX/FILE`.
 * @throws JobError BUS_FAILED, BROKEN_RECORD; what the file system throws
 */
export async function writeOutputs(bus: OutputBus, key: NodeKey, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const shards = await endedShards(bus, key);
  const record = await bus.records.read(runRecord(key.run));
  const run = record === null ? null : runOf(record);
  const work = run?.job.nodes.find(({ name }) => name === key.node)?.work;
  if (work?.kind === 'experiment') return writeExperiment(bus, work.plan, shards, folder);
  const shardTotal = run?.nodes[key.node]?.shardTotal ?? shards.length;
  const files = shards.flatMap(({ index, shard }) =>
    shard.state === 'done'
      ? shard.files.map((file) => ({ file, path: join(folder, shardTotal > 1 ? `${index}` : '', file.name) }))
      : [],
  );
  if (work?.kind === 'batch') return joinFiles(bus, shards, folder);
  await eachOf(files, ({ file, path }) => writeBlob(bus, file, path));
}

/** In their order. */
export async function endedShards({ records }: OutputBus, { run, node }: NodeKey): Promise<readonly EndedShard[]> {
  const found = await records.list(`shard.${run}.${node}`);
  const shards = found.flatMap((record) => {
    const shard = shardOf(record)!;
    return shard.state === 'trying' ? [] : [{ index: Number(record.key.split('.').at(-1)), shard }];
  });
  return shards.sort((a, b) => a.index - b.index);
}

/** Files of the same name are one, shard behind shard. */
async function joinFiles({ blobs }: OutputBus, shards: readonly EndedShard[], folder: string): Promise<void> {
  for (const { shard } of shards) {
    if (shard.state !== 'done') continue;
    for (const { name, blob } of shard.files)
      await pipeline(blobs.get(blob), createWriteStream(join(folder, name), { flags: 'a' }));
  }
}
