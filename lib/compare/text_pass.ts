/** An engine reads texts piece by piece, and what it makes of every token is taken as it comes. Shape suffixes: n tokens, V vocabulary, H hidden. */
import type { Engine } from '../head/engine.js';
import type { Hook, HookEvent } from '../protocol/hook.js';
import { isAt } from '../protocol/look.js';
import type { ScoreResult } from '../protocol/request.js';
import { CompareError } from './errors.js';

/** Told of one token after the other, in ascending layers. Steps wait for what it returns. */
type TakesRow = (layer: number, row: Float32Array) => Promise<void> | undefined;

/** What is taken of a pass; null: nobody asks, and it isn't made. */
export interface PassTaker {
  /** [n·V] of the next tokens. */
  readonly logits: (logits: Float32Array) => Promise<void>;
  /** [H] behind each layer. */
  readonly hidden: TakesRow | null;
  /** [V] of the layers and tokens of {@link LensChoice}. */
  readonly lens: TakesRow | null;
  /** [n][MoE layers][K] of a piece, behind its logits. */
  readonly routed: (experts: ScoreResult['routedExperts']) => Promise<void>;
}

/** What a pass came to. */
export interface TextReading {
  /** Of all tokens but the first of each piece. */
  readonly logprobs: readonly number[];
  readonly numTokens: number;
  /** Computed without one of their experts. */
  readonly numDegradedTokens: number;
}

/** Of which hidden states logits are made. */
export interface LensChoice {
  /** Ascending. */
  readonly layers: readonly number[];
  /** Of tokens: each is drawn by its piece and position, over 0, up to 1. */
  readonly share: number;
}

/** Tokens, none of which is in the engine's prefix cache for those who look. */
export type Piece = readonly number[];

/** How a text is read. */
export interface PassOptions {
  readonly lens: LensChoice | null;
  /** Told how many tokens are done. Default: nobody is. */
  readonly onProgress?: (numTokens: number) => void;
  readonly signal: AbortSignal;
}

/**
 * One piece after the other. The engine is fresh where a lens is asked for: tokens are drawn by the number of their request.
 * Errors as those of `Engine.score`, but for what a taker throws, which is thrown as it is.
 */
export async function readPieces(
  engine: Pick<Engine, 'score'>,
  pieces: readonly Piece[],
  taker: PassTaker,
  { lens, onProgress, signal }: PassOptions,
): Promise<TextReading> {
  const hooks = hooksOf(taker, lens);
  const all: number[] = [];
  const sum = { numTokens: 0, numDegradedTokens: 0 };
  for (const tokenIds of pieces) {
    const request = { tokenIds, onLogits: taker.logits, ...(hooks.length > 0 && { hooks }) };
    const { logprobs, routedExperts, numDegradedTokens } = await engine.score(request, signal).catch(asThrown);
    await taker.routed(routedExperts);
    for (const logprob of logprobs) all.push(logprob);
    sum.numDegradedTokens += numDegradedTokens;
    sum.numTokens += tokenIds.length;
    onProgress?.(sum.numTokens);
  }
  return { logprobs: all, ...sum };
}

/** exp(−Σ ln p / tokens). */
export const perplexityOf = (logprobs: readonly number[]): number =>
  Math.exp(-logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length);

/** A hook's error, without what the engine says of the hook. */
function asThrown(error: unknown): never {
  if (error instanceof Error && error.cause instanceof CompareError) throw error.cause;
  throw error;
}

function hooksOf({ hidden, lens: takesLens }: PassTaker, lens: LensChoice | null): Hook[] {
  const rows = (take: TakesRow) => (event: HookEvent) =>
    event.point === 'hiddenAfter' || event.point === 'lensLogits' ? take(event.layer, event.values) : undefined;
  return [
    ...(hidden === null ? [] : [{ points: { hiddenAfter: 'all' as const }, onEvent: rows(hidden) }]),
    ...(takesLens === null || lens === null
      ? []
      : [{ points: { lensLogits: lens.layers }, share: lens.share, onEvent: rows(takesLens) }]),
  ];
}

/** Tokens of the pieces that a fresh engine draws for a lens. */
export function numLensTokens(pieces: readonly Piece[], { share }: Pick<LensChoice, 'share'>): number {
  const look = { layers: {}, tokens: 'all' as const, share, seed: 0 };
  return pieces.reduce(
    (sum, piece, sequence) => sum + piece.filter((_, position) => isAt(look, sequence, position, true)).length,
    0,
  );
}
