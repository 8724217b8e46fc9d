/** `--dataset trace`: the arrivals and lengths of recorded requests, and the prefixes that their prompts share. */
import { single } from '../load/conversation.js';
import type { Piece } from '../load/prompt_maker.js';
import { streamOf } from '../load/streams.js';
import type { Dataset, DatasetSetting } from './dataset.js';
import { firstLines } from './first_lines.js';
import { Fitting } from './fitting.js';
import { HASH_BLOCK_TOKENS, traceRows, type TraceRow } from './trace_rows.js';

/** How a trace is played. */
export interface TraceOptions {
  readonly file: string;
  /** Lengths in the load / lengths in the trace: one factor for prompts, answers and the blocks that prompts share. */
  readonly scale: number;
  /** Times in the load / times in the trace. */
  readonly timeScale: number;
}

/** The first `numPrompts` requests of a file. @throws ServeBenchError BAD_DATASET */
export async function traceDataset(setting: DatasetSetting, options: TraceOptions): Promise<Dataset> {
  const { file, scale, timeScale } = options;
  const lines = await firstLines(file, setting.numPrompts + 1); // a line may be the header
  const rows = traceRows(lines, file).slice(0, setting.numPrompts);
  const { conversations, notes } = playedTrace(rows, setting, options);
  const form = rows[0]!.hashIds === null ? 'Azure' : 'Mooncake';
  const about = `trace: the first ${rows.length} requests of ${file} (${form}'s form), lengths × ${scale}, times × ${timeScale}`;
  return { conversations, notes: [about, ...notes] };
}

/** Rows as a load. Pure. */
export function playedTrace(
  rows: readonly TraceRow[],
  { make, maxModelLen }: DatasetSetting,
  { scale, timeScale }: Pick<TraceOptions, 'scale' | 'timeScale'>,
): Dataset {
  const fitting = new Fitting(maxModelLen);
  const scaled = (length: number): number => Math.max(1, Math.round(length * scale));
  const conversations = rows.map(({ atMs, inputLen, outputLen, hashIds }, i) => {
    const { input, output } = fitting.fit({ input: scaled(inputLen), output: scaled(outputLen) });
    return single(make(piecesOf(input, hashIds ?? [], scaled(HASH_BLOCK_TOKENS), i)), output, atMs * timeScale);
  });
  return { conversations, notes: fitting.notes() };
}

/** A piece per hash id, as far as the prompt goes, and what they don't cover from the request's own stream. */
function piecesOf(input: number, hashIds: readonly number[], blockTokens: number, index: number): Piece[] {
  const pieces: Piece[] = [];
  let left = input;
  for (const id of hashIds) {
    if (left === 0) return pieces;
    const numTokens = Math.min(blockTokens, left);
    pieces.push({ stream: streamOf('blocks of a trace', id), numTokens });
    left -= numTokens;
  }
  return left === 0 ? pieces : [...pieces, { stream: streamOf('bodies', index), numTokens: left }];
}
