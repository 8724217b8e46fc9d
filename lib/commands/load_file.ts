/** Files with the load of experts. */
import { readFile } from 'node:fs/promises';
import { checkLoad, type ExpertLoad } from '../../experts/planners/planner.js';
import { UsageError } from './context.js';

/**
 * [L][E] from a file `{"weight": [[load of each expert] per layer]}`; other keys are ignored.
 * @throws UsageError for what can't be read; ExpertError INVALID_ARGUMENT for what is no load
 */
export async function readLoad(file: string): Promise<ExpertLoad> {
  const load = weightOf(await contentOf(file));
  if (load === null) {
    throw new UsageError(`--load ${file} has no load; give {"weight": [[load of each expert] per layer]} of numbers`);
  }
  checkLoad(load);
  return load;
}

async function contentOf(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new UsageError(`--load ${file} can't be read (${cause instanceof Error ? cause.message : String(cause)})`);
  }
}

function weightOf(content: unknown): ExpertLoad | null {
  const { weight } = (content ?? {}) as { readonly weight?: unknown };
  const isRow = (row: unknown): row is number[] => Array.isArray(row) && row.every((load) => typeof load === 'number');
  return Array.isArray(weight) && weight.every(isRow) ? weight : null;
}
