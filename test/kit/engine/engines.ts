/** Engines of real rank processes, driven through the library. */
import { loadConfig } from '../../../lib/config/load.js';
import { Engine } from '../../../lib/head/engine.js';
import type { GenerationRequest, ScoreResult } from '../../../lib/protocol/request.js';
import type { Strategy } from '../../refs/rank_bytes.js';

export interface EngineSetup {
  readonly model: string;
  readonly ranks: number;
  readonly placement?: Strategy;
  readonly reduce?: 'rank' | 'source';
  /** Further keys: 'engine.block_size=4'. */
  readonly set?: readonly string[];
}

export async function startEngine({ model, ranks, placement, reduce, set = [] }: EngineSetup): Promise<Engine> {
  const base = { model, parallel: { ranks }, experts: { placement }, comm: { reduce } };
  return Engine.start({ config: await loadConfig({ base, overrides: set }) });
}

export interface Generated {
  readonly tokenIds: readonly number[];
  /** [tokens − 1][MoE layers][K] */
  readonly routedExperts: readonly (readonly (readonly number[])[])[];
}

/** 32 tokens, end tokens ignored. */
export async function generateIds(engine: Engine, request: Partial<GenerationRequest>): Promise<Generated> {
  const tokenIds: number[] = [];
  const defaults = { promptTokenIds: [], maxNewTokens: 32, ignoreEos: true, returnRoutedExperts: true };
  for await (const event of engine.generate({ ...defaults, ...request })) {
    if (event.kind === 'token') tokenIds.push(event.tokenId);
    if (event.kind === 'finished') return { tokenIds, routedExperts: event.routedExperts! };
  }
  throw new Error('no finished event');
}

export interface Scored extends ScoreResult {
  /** [T·V] */
  readonly logits: Float32Array;
}

export async function scoreIds(engine: Engine, tokenIds: readonly number[]): Promise<Scored> {
  const chunks: Float32Array[] = [];
  const result = await engine.score({ tokenIds, onLogits: (logits) => void chunks.push(logits.slice()) });
  const logits = new Float32Array(chunks.reduce((total, { length }) => total + length, 0));
  chunks.reduce((offset, chunk) => {
    logits.set(chunk, offset);
    return offset + chunk.length;
  }, 0);
  return { ...result, logits };
}
