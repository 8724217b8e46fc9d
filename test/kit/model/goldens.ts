import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { moe7m, tinyModel } from '../paths.js';

/** A prompt of models/moe-7m/golden.json. */
export interface GoldenCase {
  readonly prompt: string;
  readonly prompt_token_ids: readonly number[];
  /** 32 tokens, end tokens ignored. */
  readonly greedy_token_ids: readonly number[];
  readonly text: string;
  /** [V] */
  readonly last_prompt_logits: readonly number[];
  /** [MoE layer][token][K] */
  readonly routing_of_prompt: readonly (readonly (readonly number[])[])[];
}

/** golden.json of a tiny model. */
export interface TinyGolden {
  readonly prompt_token_ids: readonly number[];
  readonly greedy_token_ids: readonly number[];
  /** [T][V] */
  readonly logits: readonly (readonly number[])[];
}

export function moe7mCases(): readonly GoldenCase[] {
  return (readJson(join(moe7m(), 'golden.json')) as { readonly cases: readonly GoldenCase[] }).cases;
}

export const tinyGolden = (name: string): TinyGolden => readJson(join(tinyModel(name), 'golden.json')) as TinyGolden;

const readJson = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));
