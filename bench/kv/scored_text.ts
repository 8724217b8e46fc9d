/** Text that is scored, in pieces. */
import { readFile } from 'node:fs/promises';
import type { Engine } from '../../lib/head/engine.js';
import { loadTokenizer } from '../../lib/tokenizer/tokenizer.js';
import { BenchError } from '../base/errors.js';
import type { KvBench } from './kv_bench.js';

/** Of a piece: what the model of this package was trained on. */
export const PIECE_TOKENS = 160;

/** A piece: token ids. */
export type Piece = readonly number[];

/** Of the files that were given, as many as were asked for or as there are, or else what the engine samples. @throws BenchError NOT_UNDERSTOOD where there is none */
export async function scoredText(bench: KvBench, engine: Engine): Promise<readonly Piece[]> {
  if (bench.texts.length > 0) return givenPieces(bench);
  const pieces: Piece[] = [];
  for (let i = 0; i < bench.pieces; i++) pieces.push(await sampled(engine, bench.seed + i, bench.signal));
  return pieces;
}

async function givenPieces({ model, texts, pieces }: KvBench): Promise<readonly Piece[]> {
  const tokenizer = await loadTokenizer(model);
  if (tokenizer === undefined) throw new BenchError('NOT_UNDERSTOOD', `${model} has no tokenizer; leave out --text`);
  const ids: number[] = [];
  for (const file of texts) ids.push(...tokenizer.encode(await readFile(file, 'utf8'), { addSpecialTokens: false }));
  const count = Math.min(pieces, Math.floor(ids.length / PIECE_TOKENS));
  if (count > 0) return Array.from({ length: count }, (_, i) => ids.slice(i * PIECE_TOKENS, (i + 1) * PIECE_TOKENS));
  throw new BenchError(
    'NOT_UNDERSTOOD',
    `${ids.length} tokens, and a piece has ${PIECE_TOKENS}; give more with --text`,
  );
}

/** From the first token of its vocabulary on: what it was trained to write, whatever that is. */
async function sampled(engine: Engine, seed: number, signal: AbortSignal): Promise<Piece> {
  const ids = [0];
  const sampling = { temperature: 0.8, topP: 0.95, seed };
  const request = { promptTokenIds: [0], maxNewTokens: PIECE_TOKENS - 1, ignoreEos: true, sampling };
  for await (const event of engine.generate(request, signal)) if (event.kind === 'token') ids.push(event.tokenId);
  return ids;
}
