/** Quantised checkpoints of random weights, as scripts/conformance/quantised.mjs writes them for transformers, and the same with decoded weights. */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeRandomCheckpoint } from '../../../lib/model/random_checkpoint.js';
import { randomConfig, type RandomFamily } from '../../../lib/model/random_config.js';
import { FP8_CODING } from '../../../lib/rewrite/quantise/fp8_coding.js';
import { intCoding } from '../../../lib/rewrite/quantise/int_coding.js';
import { quantiseCheckpoint } from '../../../lib/rewrite/quantise/quantise.js';
import type { QuantisedParts } from '../../../lib/rewrite/quantise/targets.js';
import type { WeightCoding } from '../../../lib/rewrite/quantise/weight_coding.js';
import { openSource } from '../../../lib/rewrite/source.js';
import { repoRoot } from '../paths.js';
import { drawnScaling } from './drawn_scaling.js';

/** One of them. */
export interface QuantisedModel {
  readonly name: string;
  readonly family: RandomFamily;
  readonly coding: WeightCoding;
  readonly only: QuantisedParts;
  /** Whether channels are scaled before they are rounded. Default false. */
  readonly isScaled?: boolean;
  /** Whether transformers computes with it. */
  readonly isInTransformers: boolean;
}

const SIZES = { layers: 2, denseLayers: 1, hidden: 64, experts: 4, topk: 2, intermediate: 96, heads: 2, vocab: 64 };
const scaleDtype = 'F32'; // as BF16 transformers decodes to bfloat16, and rounds once more
const INT4 = intCoding({ type: 'int4', group: 32, scaleDtype });
const INT8 = intCoding({ type: 'int8', group: 32, scaleDtype });
const UINT4 = intCoding({ type: 'uint4', group: 32, scaleDtype });

/** Random weights in float32, of two families, in each format. */
export const QUANTISED_MODELS: readonly QuantisedModel[] = [
  { name: 'qwen3_moe-int4', family: 'qwen3_moe', coding: INT4, only: 'experts', isInTransformers: true },
  { name: 'qwen3_moe-int4-all', family: 'qwen3_moe', coding: INT4, only: 'all', isInTransformers: true },
  { name: 'deepseek_v3-int8', family: 'deepseek_v3', coding: INT8, only: 'experts', isInTransformers: true },
  { name: 'deepseek_v3-int8-all', family: 'deepseek_v3', coding: INT8, only: 'all', isInTransformers: true },
  { name: 'qwen3_moe-fp8', family: 'qwen3_moe', coding: FP8_CODING, only: 'experts', isInTransformers: true },
  {
    name: 'deepseek_v3-int4-scaled',
    family: 'deepseek_v3',
    coding: INT4,
    only: 'all',
    isScaled: true,
    isInTransformers: true,
  },
  { name: 'qwen3_moe-uint4', family: 'qwen3_moe', coding: UINT4, only: 'experts', isInTransformers: false },
];

/** What transformers computes with them in float32. */
export interface QuantisedGolden {
  readonly tokens: readonly number[];
  /** [tokens][V], by name. */
  readonly logits: Readonly<Record<string, readonly (readonly number[])[]>>;
}

/** Reads test/data/quantised/logits.json. */
export const readQuantisedGolden = (): QuantisedGolden =>
  JSON.parse(readFileSync(join(repoRoot(), 'test', 'data', 'quantised', 'logits.json'), 'utf8')) as QuantisedGolden;

/** Writes one into a new folder. */
export async function writeQuantisedModel(
  { family, coding, only, isScaled = false }: QuantisedModel,
  dir: string,
): Promise<void> {
  const from = `${dir}-before`;
  const config = randomConfig(family, { ...SIZES, dtype: 'F32' });
  await makeRandomCheckpoint(from, { config, dtype: 'F32', seed: 7 });
  const source = await openSource(from);
  try {
    const scaling = isScaled ? drawnScaling(source.spec) : [];
    await quantiseCheckpoint(source, dir, { coding, only, ignore: [], mayDecode: false, scaling });
  } finally {
    await source.close();
    await rm(from, { recursive: true });
  }
}
