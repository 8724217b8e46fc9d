/** The log of a run's pod, as it comes: into `log.txt`, and the files in it apart. */
import { setTimeout as delay } from 'node:timers/promises';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { KubernetesError } from '../../../kubernetes/api/errors.js';
import type { KubernetesApi } from '../../../kubernetes/api/kubernetes_api.js';
import { linesOf } from '../../../kubernetes/api/lines.js';
import { PrintedLog } from '../../runs/printed_files.js';
import { RUN_FILES } from '../../runs/run_folder.js';

/** A log whose server broke off is asked for again after so long. */
const PAUSE_MS = 500;
/** So often once the pod has ended: what it said last may not be there at once. */
const LAST_TRIES = 3;

/** Where a pod's log goes. */
export interface RunLogOptions {
  readonly api: KubernetesApi;
  /** Of the log, without a query. */
  readonly path: string;
  readonly folder: string;
  readonly mark: string;
}

/** Reads until the pod has ended and its log is whole. `hasEnded` says whether it has. @returns what was printed of files */
export async function readRunLog(
  { api, path, folder, mark }: RunLogOptions,
  hasEnded: () => boolean,
  signal: AbortSignal,
): Promise<PrintedLog> {
  const printed = new PrintedLog(mark);
  for (let tries = 0; tries < LAST_TRIES;) {
    const isLast = hasEnded();
    const isWhole = await readOnce(api, `${path}?follow=true`, join(folder, RUN_FILES.log), printed, signal);
    if (isWhole && (isLast || hasEnded())) return printed;
    if (isLast) tries++;
    await delay(PAUSE_MS, undefined, { signal });
  }
  return printed;
}

/** From its beginning: what was there before is written anew. False: it broke off, or isn't there (any more). */
async function readOnce(
  api: KubernetesApi,
  path: string,
  file: string,
  printed: PrintedLog,
  signal: AbortSignal,
): Promise<boolean> {
  const log = await open(file, 'w');
  try {
    for await (const line of linesOf(api.follow(path, signal))) {
      const text = printed.take(line);
      if (text !== null) await log.write(`${text}\n`);
    }
    return true;
  } catch (error) {
    if (!(error instanceof KubernetesError) || error.code === 'FORBIDDEN') throw error;
    return false;
  } finally {
    await log.close();
  }
}
