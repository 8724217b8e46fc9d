/** A model folder that another one is made of. */
import { modelSpecOf } from '../model/families/registry.js';
import type { ModelSpec } from '../model/spec/spec.js';
import { withQuantConfig } from '../model/spec/quantization.js';
import { openWeights, type ModelWeights } from '../model/stored/model_weights.js';
import { readModelFiles, type JsonObject } from '../weights/model_files.js';

/** Its headers and JSON files were read; weights are read when they are asked for. */
export interface RewriteSource {
  readonly dir: string;
  /** config.json, with what hf_quant_config.json says of weights. */
  readonly config: JsonObject;
  /** config.json as it is written: what {@link withJsonValues} edits. */
  readonly configText: string;
  readonly spec: ModelSpec;
  /** By our names and decoded; `weights.checkpoint`: as they are stored. */
  readonly weights: ModelWeights;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Of families that ship with expertwire. @throws ModelError; WeightError as the readers of a model folder */
export async function openSource(dir: string): Promise<RewriteSource> {
  const { config: written, configBytes, quantConfig } = await readModelFiles(dir);
  const config = withQuantConfig(written, quantConfig);
  const spec = modelSpecOf(config);
  const weights = await openWeights(dir, spec);
  const configText = new TextDecoder('utf-8').decode(configBytes); // takes a byte order mark away
  return { dir, config, configText, spec, weights, close: () => weights.close() };
}
