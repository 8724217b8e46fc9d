import type { Dataset, DatasetSetting } from './dataset.js';
import { fileDataset, type FileOptions } from './file.js';
import { prefixDataset, type PrefixOptions } from './prefix.js';
import { randomDataset, type RandomOptions } from './random.js';
import { traceDataset, type TraceOptions } from './trace.js';
import { turnsDataset, type TurnsOptions } from './turns.js';

/** The names that `--dataset` takes. */
export const DATASETS = ['random', 'prefix', 'turns', 'file', 'trace'] as const;

/** Which dataset, and its options. */
export type DatasetChoice =
  | ({ readonly kind: 'random' } & RandomOptions)
  | ({ readonly kind: 'prefix' } & PrefixOptions)
  | ({ readonly kind: 'turns' } & TurnsOptions)
  | ({ readonly kind: 'file' } & Omit<FileOptions, 'numPrompts'>)
  | ({ readonly kind: 'trace' } & TraceOptions);

/** Makes or reads a dataset. @throws ServeBenchError BAD_DATASET */
export async function makeDataset(choice: DatasetChoice, setting: DatasetSetting): Promise<Dataset> {
  switch (choice.kind) {
    case 'random':
      return randomDataset(setting, choice);
    case 'prefix':
      return prefixDataset(setting, choice);
    case 'turns':
      return turnsDataset(setting, choice);
    case 'file':
      return fileDataset({ ...choice, numPrompts: setting.numPrompts });
    case 'trace':
      return traceDataset(setting, choice);
  }
}
