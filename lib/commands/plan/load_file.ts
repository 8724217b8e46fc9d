/** Files with the load of experts. */
import { open, readFile } from 'node:fs/promises';
import { causeText, textOf } from '../../../base/foreign_text.js';
import { scaledLoad } from '../../../experts/placement/balance.js';
import { checkLoad, type ExpertLoad } from '../../../experts/placement/planners/planner.js';
import { recordedLoad } from '../../../experts/routing/recorded_routing.js';
import type { RecordedRun } from '../../../experts/load/recorded_run.js';
import { UsageError } from '../base/context.js';

/** What a file says of the load of experts, as {@link scaledLoad} gives it. */
export interface LoadFile {
  readonly load_LE: ExpertLoad;
  /** What computed it; null where the file doesn't say. */
  readonly run: RecordedRun | null;
}

/**
 * From a file `{"weight": [[load of each expert] per layer]}`, other keys being ignored, or summed over a recording (`--record`).
 * @throws UsageError for what can't be read; ExpertError INVALID_ARGUMENT for what is no load, BAD_RECORDING
 */
export async function readLoad(file: string): Promise<LoadFile> {
  const { load_LE, run } = (await isGzip(file)) ? await recordedLoad(file) : weightOf(file, await contentOf(file));
  checkLoad(load_LE);
  return { load_LE: scaledLoad(load_LE), run };
}

async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file).catch((cause: unknown) => unreadable(file, cause));
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer.equals(GZIP_MAGIC);
  } catch (cause) {
    return unreadable(file, cause);
  } finally {
    await handle.close();
  }
}

const GZIP_MAGIC = Buffer.of(0x1f, 0x8b);

async function contentOf(file: string): Promise<unknown> {
  try {
    return JSON.parse(textOf(await readFile(file)));
  } catch (cause) {
    return unreadable(file, cause);
  }
}

function unreadable(file: string, cause: unknown): never {
  throw new UsageError(`--load ${file} can't be read (${causeText(cause)})`);
}

function weightOf(file: string, content: unknown): LoadFile {
  const { weight } = (content ?? {}) as { readonly weight?: unknown };
  const isRow = (row: unknown): row is number[] => Array.isArray(row) && row.every((load) => typeof load === 'number');
  if (Array.isArray(weight) && weight.every(isRow)) return { load_LE: weight, run: null };
  throw new UsageError(
    `--load ${file} has no load; give {"weight": [[load of each expert] per layer]} of numbers, or a recording`,
  );
}
