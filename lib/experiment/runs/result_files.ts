import { join } from 'node:path';

/** What is in a folder of results beside reports. */
export const RESULT_FILES = {
  /** What the file said, checked. */
  experiment: 'experiment.json',
  /** A line per run. */
  rows: 'results.jsonl',
  /** A folder per run, by its id. */
  runs: 'runs',
} as const;

/** The folder of a run. */
export const runFolderOf = (results: string, id: string): string => join(results, RESULT_FILES.runs, id);
