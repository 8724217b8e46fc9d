/** `slurm.json` of a run's folder: which task does it, so that whoever comes later waits for that one and starts none beside it. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { jsonOrUndefined } from '../../../../base/foreign_text.js';
import { writeWhole } from '../../../../base/whole_file.js';
import type { TaskId } from './task_state.js';

const FILE = 'slurm.json';
const TASK = z.object({ job: z.string().regex(/^\d+$/), index: z.int().min(0) });

/** Null: nobody was given it, or it is over. */
export async function handedTo(folder: string): Promise<TaskId | null> {
  const text = await readFile(join(folder, FILE), 'utf8').catch(() => '');
  return TASK.safeParse(jsonOrUndefined(text)).data ?? null;
}

/** @throws what the file system throws */
export const writeHanded = (folder: string, task: TaskId): Promise<void> =>
  writeWhole(join(folder, FILE), `${JSON.stringify(task)}\n`);

/** It is over. @throws what the file system throws */
export const forgetHanded = (folder: string): Promise<void> => rm(join(folder, FILE), { force: true });
