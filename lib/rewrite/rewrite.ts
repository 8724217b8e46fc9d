/** A model folder made of another one: some tensors and keys of config.json changed, all the rest as it was. Why: docs/decisions/formats.md#rewriting-never-holds-a-model */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  numBytesOf,
  writeTensors,
  type TensorSource,
  type WriteOptions,
  type WrittenFiles,
} from '../weights/checkpoint_writer.js';
import { checkRoom } from '../weights/disk_room.js';
import { writeNewFolder } from '../weights/new_folder.js';
import { copyCompanions } from './companions.js';
import { withJsonValues, type JsonEdit } from './json_edit.js';
import type { RewriteSource } from './source.js';

/** What the new folder holds. */
export interface Rewriting {
  /** All tensors, in the order in which they are to lie. */
  readonly tensors: readonly TensorSource[];
  /** Changes of config.json. */
  readonly edits: readonly JsonEdit[];
  /** What was done, by whom: a key of `expertwire` in config.json, which other readers leave alone; what a former rewriting said stays beside it. */
  readonly notes: Readonly<Record<string, unknown>>;
  /** Weights stay in the formats that files beside config.json tell of. Default false. */
  readonly keepsCodes?: boolean;
}

/** Where config.json says what was done to a checkpoint. */
export const NOTES_KEY = 'expertwire';

/**
 * Writes a folder that doesn't exist yet or is empty; it appears when all is written, and nothing is left where that fails. Memory holds one piece of a copied tensor, or one tensor that is made.
 *
 * @throws WeightError FOLDER_NOT_EMPTY, WRITE_FAILED (also where the disk has no room, before anything is written), CHECKPOINT_CHANGED (the source was written meanwhile); what tensors throw
 */
export async function rewriteCheckpoint(
  { dir, config, configText, weights }: Pick<RewriteSource, 'dir' | 'config' | 'configText' | 'weights'>,
  out: string,
  { tensors, edits, notes, keepsCodes }: Rewriting,
  options: WriteOptions = {},
): Promise<WrittenFiles> {
  const numBytes = tensors.reduce((sum, tensor) => sum + numBytesOf(tensor), 0);
  await checkRoom(out, numBytes, 'free some or give another folder');
  const former = config[NOTES_KEY] ?? {};
  const noted: JsonEdit = { path: [NOTES_KEY], value: { ...former, ...notes } };
  return writeNewFolder(out, async (partial) => {
    await copyCompanions(dir, partial, keepsCodes);
    await writeFile(join(partial, 'config.json'), withJsonValues(configText, [...edits, noted]));
    const written = await writeTensors(partial, tensors, options);
    await weights.checkpoint.checkUnchanged();
    return written;
  });
}
