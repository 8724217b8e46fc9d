/** Golden logits that scripts/conformance/stored_models.py made, and the model folders that they are of. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repoRoot } from '../paths.js';
import { unbraced, type HfConfig } from './conformance.js';
import { writeSafetensors } from './safetensors_writer.js';
import { filledBytes, type Fill } from './stored_fills.js';

export interface StoredModelCase {
  readonly name: string;
  readonly config: HfConfig;
  /** JSON files beside config.json, by name. */
  readonly files?: Readonly<Record<string, unknown>>;
  /** By name with lists of numbers in braces: element type, shape, elements. */
  readonly tensors: Readonly<Record<string, readonly [string, readonly number[], Fill]>>;
  /** [positions][V] */
  readonly logits: readonly (readonly number[])[];
}

export interface StoredModels {
  /** The prompt. */
  readonly tokens: readonly number[];
  /** Positions whose logits are golden. */
  readonly positions: readonly number[];
  readonly cases: readonly StoredModelCase[];
}

export const readStoredModels = (): StoredModels =>
  JSON.parse(readFileSync(join(repoRoot(), 'test', 'data', 'formats', 'models.json'), 'utf8')) as StoredModels;

/** Writes config.json, what is beside it, and the weights. */
export async function writeStoredModel(dir: string, { config, files = {}, tensors }: StoredModelCase): Promise<void> {
  for (const [file, content] of Object.entries({ 'config.json': config, ...files })) {
    await writeFile(join(dir, file), JSON.stringify(content));
  }
  const all = Object.entries(unbraced(tensors)).map(([name, [dtype, shape, fill]]) => ({
    ...{ name, dtype, shape },
    bytes: filledBytes(name, dtype, shape, fill),
  }));
  await writeFile(join(dir, 'model.safetensors'), writeSafetensors(all));
}
