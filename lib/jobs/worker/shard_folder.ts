/** The folder of one try of a shard: what it reads is put there, and what it leaves is kept from there. */
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { JobError } from '../base/errors.js';
import type { Blobs } from '../base/job_bus.js';
import type { OutputFile, ShardKey, Task } from '../base/task.js';
import { eachOf, type OutputBus } from '../outputs/blob_files.js';
import { writeOutputs } from '../outputs/node_outputs.js';

/** Where files of the nodes that it needs are. */
export const INPUTS = 'inputs';
/** Of a shard: its record names each. */
const MAX_FILES = 1000;

/** One try's. */
export class ShardFolder {
  private inputs: ReadonlySet<string> = new Set();

  private constructor(
    /** With what isn't kept: the log of its process. */
    readonly top: string,
    /** Where its process runs. */
    readonly path: string,
  ) {}

  /** A new one. */
  static async make(scratch: string): Promise<ShardFolder> {
    const top = await mkdtemp(join(scratch, 'shard-'));
    const path = join(top, 'work');
    await mkdir(path);
    return new ShardFolder(top, path);
  }

  /** Puts files of other nodes there. @throws JobError BUS_FAILED, BROKEN_RECORD */
  async fetch(bus: OutputBus, { inputs }: Pick<Task, 'inputs'>): Promise<void> {
    if (inputs.length === 0) return;
    for (const { run, node } of inputs) await writeOutputs(bus, { run, node }, join(this.path, INPUTS, node));
    this.inputs = new Set(await this.names());
  }

  /** All files that weren't put there. @throws JobError TOO_MANY */
  async outputs(): Promise<readonly string[]> {
    const names = (await this.names()).filter((name) => !this.inputs.has(name));
    if (names.length <= MAX_FILES) return names;
    throw new JobError(
      'TOO_MANY',
      `the shard left ${names.length} files, and ${MAX_FILES} are kept at most; write fewer`,
    );
  }

  /** Puts files on the bus, under names that no other try has. @throws JobError BUS_FAILED */
  async keep(blobs: Blobs, names: readonly string[], prefix: string): Promise<readonly OutputFile[]> {
    const files: OutputFile[] = [];
    await eachOf([...names], async (name) => {
      const path = join(this.path, name);
      const { size } = await stat(path);
      const blob = `${prefix}/${name}`;
      await blobs.put(blob, createReadStream(path));
      files.push({ name, blob, bytes: size });
    });
    return files.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Idempotent. */
  async remove(): Promise<void> {
    await rm(this.top, { recursive: true, force: true });
  }

  /** Of whole files; links and devices are none. */
  private async names(): Promise<readonly string[]> {
    const entries = await readdir(this.path, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    return files.map((entry) => relative(this.path, join(entry.parentPath, entry.name)).split(sep).join('/')).sort();
  }
}

/** Where blobs of a try are. */
export const tryPrefix = ({ run, node, index }: ShardKey, id: string): string => `${run}/${node}/${index}/${id}`;
