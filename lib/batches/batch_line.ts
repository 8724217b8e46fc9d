/** Lines of a batch as clients of OpenAI's Batch API write them: `{"custom_id", "method", "url", "body"}`. Pure. */
import { jsonOrUndefined, printable, shown } from '../../base/foreign_text.js';

/** Where lines may go. */
export const BATCH_ENDPOINTS = ['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/embeddings'] as const;

/** One of {@link BATCH_ENDPOINTS}. */
export type BatchEndpoint = (typeof BATCH_ENDPOINTS)[number];

/** A line that was read. */
export interface BatchLine {
  /** By which its row is found; no other line of the batch has it. */
  readonly customId: string;
  readonly url: BatchEndpoint;
  /** Of the request. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** What is wrong with a line, as batches tell it in `errors`. */
export interface LineProblem {
  readonly code: LineProblemCode;
  /** Ends with what to do. */
  readonly message: string;
  /** The field; null: the whole line. */
  readonly param: string | null;
  /** From 1; null: the whole file. */
  readonly line: number | null;
}

/** Why a batch fails before anything of it runs. Those that OpenAI has are called as there. */
export type LineProblemCode =
  | 'invalid_json_line'
  | 'missing_required_parameter'
  | 'invalid_value'
  | 'invalid_method'
  | 'invalid_url'
  | 'mismatched_endpoint'
  | 'duplicate_custom_id'
  | 'line_too_long'
  | 'too_many_lines'
  | 'empty_file';

/** Of a `custom_id`, which is in every row. */
const MAX_ID_CHARS = 512;

/** What a line says, or what is wrong with it. `number`: from 1. `endpoint`: the one of the batch; null: each line may have its own. */
export function readBatchLine(
  text: string,
  number: number,
  endpoint: BatchEndpoint | null,
): BatchLine | { readonly problem: LineProblem } {
  const bad = (code: LineProblemCode, param: string | null, message: string): { readonly problem: LineProblem } => ({
    problem: { code, message, param, line: number },
  });
  const line = jsonOrUndefined(text);
  if (!isObject(line)) {
    return bad('invalid_json_line', null, `line ${number} is no JSON object; write one request a line`);
  }
  const { custom_id: customId, method, url, body } = line;
  const absent = (['custom_id', 'method', 'url', 'body'] as const).find((field) => line[field] == null);
  if (absent !== undefined) {
    return bad('missing_required_parameter', absent, `${absent} is missing in line ${number}; give one`);
  }
  if (typeof customId !== 'string' || customId === '' || customId.length > MAX_ID_CHARS) {
    const text = `custom_id is ${shown(customId)} in line ${number}; give a text of 1 to ${MAX_ID_CHARS} characters`;
    return bad('invalid_value', 'custom_id', text);
  }
  if (method !== 'POST') {
    return bad('invalid_method', 'method', `method is ${shown(method)} in line ${number}; give POST`);
  }
  if (!isEndpoint(url)) {
    const text = `url is ${shown(url)} in line ${number}; give one of ${BATCH_ENDPOINTS.join(', ')}`;
    return bad('invalid_url', 'url', text);
  }
  if (endpoint !== null && url !== endpoint) {
    const text = `url is ${url} in line ${number}, and the batch is for ${endpoint}; make a batch for each endpoint`;
    return bad('mismatched_endpoint', 'url', text);
  }
  if (!isObject(body)) {
    return bad('invalid_value', 'body', `body is ${shown(body)} in line ${number}; give a JSON object`);
  }
  if (body.stream === true) {
    return bad('invalid_value', 'body.stream', `body.stream is true in line ${number}; rows are whole, leave it out`);
  }
  return { customId, url, body };
}

/** Finds what is wrong with a batch as its lines come by. */
export class BatchCheck {
  /** The first {@link MAX_PROBLEMS}. */
  readonly problems: LineProblem[] = [];
  /** Requests so far. */
  numLines = 0;
  /** The model of the first request that names one. */
  model: string | null = null;
  private readonly ids = new Map<string, number>();

  constructor(
    private readonly endpoint: BatchEndpoint | null,
    private readonly maxLines: number,
  ) {}

  /** The next request; `number`: of its line, from 1. False: enough is wrong, and nothing more needs to be read. */
  add(text: string, number: number): boolean {
    if (++this.numLines > this.maxLines) {
      const message = `there are more than ${this.maxLines} requests; send them in several batches`;
      this.problem({ code: 'too_many_lines', message, param: null, line: null });
      return false;
    }
    const line = readBatchLine(text, number, this.endpoint);
    if ('problem' in line) return this.problem(line.problem);
    const before = this.ids.get(line.customId);
    if (before !== undefined) {
      const message = `custom_id is ${printable(line.customId)} in line ${number}, as in line ${before}; give each its own`;
      return this.problem({ code: 'duplicate_custom_id', message, param: 'custom_id', line: number });
    }
    this.ids.set(line.customId, number);
    if (this.model === null && typeof line.body.model === 'string') this.model = line.body.model;
    return true;
  }

  /** A line that was too long to be read. */
  tooLong(number: number, maxBytes: number): boolean {
    const message = `line ${number} has more than ${maxBytes} bytes; send shorter requests`;
    return this.problem({ code: 'line_too_long', message, param: null, line: number });
  }

  /** All lines came by. */
  end(): void {
    if (this.numLines > 0 || this.problems.length > 0) return;
    const message = 'the file has no requests; write one a line';
    this.problem({ code: 'empty_file', message, param: null, line: null });
  }

  private problem(problem: LineProblem): boolean {
    this.problems.push(problem);
    return this.problems.length < MAX_PROBLEMS;
  }
}

/** Problems that are told of one batch. */
const MAX_PROBLEMS = 50;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isEndpoint = (url: unknown): url is BatchEndpoint => BATCH_ENDPOINTS.includes(url as BatchEndpoint);
