/** Rows of request traces, in the two forms that are public: Azure's CSV and Mooncake's JSON lines. Pure. */
import { parse } from 'csv-parse/sync';
import * as z from 'zod';
import { shown, jsonOrUndefined } from '../../../base/foreign_text.js';
import { MAX_COUNT } from '../../../lib/commands/base/numbers.js';
import { ServeBenchError } from '../load/errors.js';

/** A request of a trace. */
export interface TraceRow {
  /** From the trace's first request. */
  readonly atMs: number;
  readonly inputLen: number;
  readonly outputLen: number;
  /** Names of the prompt's blocks of {@link HASH_BLOCK_TOKENS} tokens, equal where prompts begin alike; null where the trace has none. */
  readonly hashIds: readonly number[] | null;
}

/** Tokens of a prompt that one of Mooncake's hash ids stands for. */
export const HASH_BLOCK_TOKENS = 512;

const AZURE_HEADER = 'TIMESTAMP,ContextTokens,GeneratedTokens';

/** The rows of a trace's lines, times counted from the first. @throws ServeBenchError BAD_DATASET with the line and what it has */
export function traceRows(lines: readonly string[], path: string): TraceRow[] {
  const first = (lines[0] ?? '').trim();
  const rows = first.startsWith('{') ? lines.map((line, i) => mooncakeRow(line, i, path)) : azureRows(lines, path);
  if (rows.length === 0) throw new ServeBenchError('BAD_DATASET', `${path} has no requests; give a file with some`);
  const start = rows.reduce((min, { atMs }) => Math.min(min, atMs), Infinity);
  return rows.map((row) => ({ ...row, atMs: row.atMs - start })).sort((a, b) => a.atMs - b.atMs);
}

const numTokens = z.int().min(0).max(MAX_COUNT);
const mooncake = z.looseObject({
  timestamp: z.number().min(0),
  input_length: numTokens,
  output_length: numTokens,
  hash_ids: z.array(
    z
      .int()
      .min(0)
      .max(MAX_COUNT - 1),
  ),
});

function mooncakeRow(line: string, index: number, path: string): TraceRow {
  const { data } = mooncake.safeParse(jsonOrUndefined(line));
  if (data === undefined)
    throw wrongLine(path, index + 1, line, '{"timestamp", "input_length", "output_length", "hash_ids"}');
  return {
    atMs: data.timestamp,
    inputLen: Math.max(1, data.input_length),
    outputLen: Math.max(1, data.output_length),
    hashIds: data.hash_ids,
  };
}

const azure = z.tuple([
  z.string().regex(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$/),
  z.string().regex(/^\d{1,8}$/),
  z.string().regex(/^\d{1,8}$/),
]);

function azureRows(lines: readonly string[], path: string): TraceRow[] {
  const [header = '', ...rows] = lines;
  if (header.trim() !== AZURE_HEADER)
    throw new ServeBenchError(
      'BAD_DATASET',
      `${path} begins with ${shown(header)}; give a CSV file with ${AZURE_HEADER}, or JSON lines as Mooncake's`,
    );
  return rows.map((line, i) => {
    const { data } = azure.safeParse(cellsOf(line));
    if (data === undefined) throw wrongLine(path, i + 2, line, AZURE_HEADER);
    const [time, input, output] = data;
    return {
      atMs: msOf(time),
      inputLen: Math.max(1, Number(input)),
      outputLen: Math.max(1, Number(output)),
      hashIds: null,
    };
  });
}

/** The cells of one line; none where it is no CSV. */
function cellsOf(line: string): readonly string[] {
  try {
    return parse(line, { trim: true })[0] ?? [];
  } catch {
    return [];
  }
}

/** Azure's times have seven digits behind the second, of which Date keeps three. */
function msOf(time: string): number {
  const [seconds, fraction = '0'] = time.split('.') as [string, string?];
  return Date.parse(`${seconds.replace(' ', 'T')}Z`) + Number(`0.${fraction}`) * 1000;
}

const wrongLine = (path: string, number: number, line: string, form: string): ServeBenchError =>
  new ServeBenchError('BAD_DATASET', `line ${number} of ${path} is ${shown(line)}; give ${form}`);
