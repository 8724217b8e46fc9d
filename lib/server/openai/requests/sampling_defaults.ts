/** What a request that says nothing is sampled with: the model's generation_config.json, as in vLLM. */
import * as z from 'zod';
import { readModelFiles } from '../../../weights/model_files.js';

/** vLLM's names and neutral values. */
export interface SamplingDefaults {
  readonly temperature: number;
  readonly top_p: number;
  readonly top_k: number;
  readonly min_p: number;
  readonly repetition_penalty: number;
}

const NEUTRAL: SamplingDefaults = { temperature: 1, top_p: 1, top_k: 0, min_p: 0, repetition_penalty: 1 };

const generationConfig = z.object({
  temperature: z.number().min(0).catch(NEUTRAL.temperature),
  top_p: z.number().gt(0).max(1).catch(NEUTRAL.top_p),
  top_k: z.int().min(0).catch(NEUTRAL.top_k),
  min_p: z.number().min(0).max(1).catch(NEUTRAL.min_p),
  repetition_penalty: z.number().min(1e-3).max(1e3).catch(NEUTRAL.repetition_penalty),
});

/** Of a model folder; values that can't be count as absent. @throws WeightError */
export async function readSamplingDefaults(model: string): Promise<SamplingDefaults> {
  const { generationConfig: given = {} } = await readModelFiles(model);
  return generationConfig.parse(given);
}
