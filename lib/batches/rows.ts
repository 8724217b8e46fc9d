/** Rows of `output.jsonl` and `error.jsonl`, as OpenAI's Batch API writes them, and what they sum up to. Pure. */
import * as z from 'zod';
import { jsonOrUndefined } from '../../base/foreign_text.js';

/** What a server answered. */
export interface LineAnswer {
  readonly status: number;
  /** What the server calls the request. */
  readonly requestId: string;
  /** JSON; of what isn't, its text. */
  readonly body: unknown;
  /** After which the server wants to be asked again; null: it doesn't say. */
  readonly retryAfterMs: number | null;
}

/** What became of a line. */
export type LineResult =
  | { readonly kind: 'answered'; readonly answer: LineAnswer }
  /** It never was: nobody answered, or nobody was asked. */
  | { readonly kind: 'unanswered'; readonly code: UnansweredCode; readonly message: string };

/** OpenAI's. */
export type UnansweredCode = 'batch_expired' | 'batch_cancelled' | 'request_timeout';

/** A row. */
export interface Row {
  readonly customId: string;
  /** It belongs to the output; false: to the errors. */
  readonly isSuccess: boolean;
  /** With its line's end. */
  readonly text: string;
}

/** The row of a line. `id`: of the request, another one for each row. */
export function rowOf(id: string, customId: string, result: LineResult): Row {
  const isAnswered = result.kind === 'answered';
  const row = {
    id,
    custom_id: customId,
    response: isAnswered
      ? { status_code: result.answer.status, request_id: result.answer.requestId, body: result.answer.body }
      : null,
    error: isAnswered ? null : { code: result.code, message: result.message },
  };
  const isSuccess = isAnswered && result.answer.status >= 200 && result.answer.status < 300;
  return { customId, isSuccess, text: `${JSON.stringify(row)}\n` };
}

const count = z.number().min(0).catch(0);
const cached = z.object({ cached_tokens: count }).catch({ cached_tokens: 0 });
/** Completions and chats call it prompt and completion, responses input and output. */
const USAGE = z
  .object({
    prompt_tokens: count,
    completion_tokens: count,
    input_tokens: count,
    output_tokens: count,
    prompt_tokens_details: cached,
    input_tokens_details: cached,
  })
  .optional()
  .catch(undefined);
const ROW = z.object({
  custom_id: z.string(),
  response: z.object({ body: z.object({ usage: USAGE }).optional().catch(undefined) }).nullable(),
});

/** Tokens of all rows, as batches tell it. */
export interface BatchUsage {
  readonly input_tokens: number;
  readonly input_tokens_details: { readonly cached_tokens: number };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly reasoning_tokens: number };
  readonly total_tokens: number;
}

/** Counts rows as they come. */
export class RowTally {
  /** Of all rows so far. */
  readonly customIds = new Set<string>();
  numCompleted = 0;
  numFailed = 0;
  private numInput = 0;
  private numCached = 0;
  private numOutput = 0;

  /** A row as it is in a file. False: it is none, or one of a line that has one already. */
  add(text: string, isSuccess: boolean): boolean {
    const row = ROW.safeParse(jsonOrUndefined(text)).data;
    if (row === undefined || this.customIds.has(row.custom_id)) return false;
    this.customIds.add(row.custom_id);
    if (isSuccess) this.numCompleted++;
    else this.numFailed++;
    const usage = row.response?.body?.usage;
    if (usage === undefined) return true;
    this.numInput += usage.prompt_tokens + usage.input_tokens;
    this.numCached += usage.prompt_tokens_details.cached_tokens + usage.input_tokens_details.cached_tokens;
    this.numOutput += usage.completion_tokens + usage.output_tokens;
    return true;
  }

  /** So far. */
  get usage(): BatchUsage {
    const { numInput, numCached, numOutput } = this;
    return {
      input_tokens: numInput,
      input_tokens_details: { cached_tokens: numCached },
      output_tokens: numOutput,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: numInput + numOutput,
    };
  }
}
