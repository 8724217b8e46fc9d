/**
 * Requests as callers make them, in any language that compiles to JavaScript: checked at the door, so that a wrong one fails alone. Pure.
 * Why: docs/decisions/requests.md#checked-where-they-enter
 */
import { closest } from 'fastest-levenshtein';
import * as z from 'zod';
import { shown } from '../../base/foreign_text.js';
import { valueAt } from '../../base/foreign_value.js';
import { isNear } from '../config/layers.js';
import { EngineError } from '../protocol/errors.js';
import type { Hook } from '../protocol/hook.js';
import type { BlockHolder } from '../protocol/kv_loan.js';
import type { KvSource } from '../protocol/kv_source.js';
import {
  MAX_LOGPROBS,
  MAX_PIN_MS,
  MAX_STOP_CHARS,
  type GenerationRequest,
  type ScoreRequest,
} from '../protocol/request.js';
import type { SamplingParams } from '../protocol/sampling.js';

/** A list of numbers or a typed array of whole ones, as a list. What the numbers must be is checked with the model. */
const tokenIds = z.custom<readonly number[]>(isTokenList, 'a list of token ids').transform((ids) => Array.from(ids));
const biases = z.custom<SamplingParams['logitBias']>(isBiasList, 'a list of pairs [token id, bias]');
const number = z.number({ error: 'a number' });
const boolean = z.boolean({ error: 'true or false' });
const text = z.string({ error: 'a text' });
const wholeNumber = (least: number, most: number): z.ZodType<number> =>
  number.refine((n) => Number.isInteger(n) && n >= least && n <= most, `a whole number from ${least} to ${most}`);

/** Of one request: each token is held against each. */
const MAX_HOOKS = 64;
/** What each is, is checked with the model. */
const hooks = z
  .array(z.custom<Hook>(), { error: 'a list of hooks' })
  .max(MAX_HOOKS, `at most ${MAX_HOOKS} hooks`)
  .optional();

const SHARE = 'true, false, or a share over 0, up to 1';
const share = z.number({ error: SHARE }).gt(0, SHARE).max(1, SHARE);

const PIN_MS = `a number from 0 to ${MAX_PIN_MS}`;

const MAX_STOPS = 1024;
const MAX_HOLDERS = 16;
const MAX_ID_LENGTH = 256;

const generation = z.strictObject({
  promptTokenIds: tokenIds,
  maxNewTokens: number,
  outputTokenIds: tokenIds.optional(),
  source: z.custom<KvSource>(isSource, 'a KvSource').optional(),
  holders: z
    .array(z.custom<BlockHolder>(isHolder, 'a BlockHolder'), { error: 'a list of block holders' })
    .max(MAX_HOLDERS, { error: `at most ${MAX_HOLDERS} block holders` })
    .optional(),
  tellAgain: boolean.optional(),
  sampling: z
    .strictObject({
      temperature: number,
      topK: number,
      topP: number,
      minP: number,
      repetitionPenalty: number,
      presencePenalty: number,
      frequencyPenalty: number,
      logitBias: biases,
      allowedTokenIds: tokenIds.nullable(),
      minTokens: number,
      seed: number,
      choice: number,
    })
    .partial()
    .optional(),
  stop: z
    .array(text, { error: 'a list of texts' })
    .max(MAX_STOPS, { error: `at most ${MAX_STOPS} texts` })
    .refine(
      (stops) => stops.join('').length <= MAX_STOP_CHARS,
      `texts of at most ${MAX_STOP_CHARS} characters together`,
    )
    .optional(),
  ignoreEos: boolean.optional(),
  stopTokenIds: tokenIds.optional(),
  includeStop: boolean.optional(),
  skipSpecialTokens: boolean.optional(),
  logprobs: wholeNumber(0, MAX_LOGPROBS).optional(),
  promptLogprobs: wholeNumber(0, MAX_LOGPROBS).optional(),
  pinMs: number.min(0, PIN_MS).max(MAX_PIN_MS, PIN_MS).optional(),
  priority: wholeNumber(-(2 ** 31), 2 ** 31 - 1).optional(),
  id: text.max(MAX_ID_LENGTH, { error: `a text of at most ${MAX_ID_LENGTH} characters` }).optional(),
  returnRoutedExperts: boolean.optional(),
  returnRouterLogits: z.union([z.boolean(), share], { error: SHARE }).optional(),
  movable: boolean.optional(),
  handover: z.enum(['after_prompt'], { error: '"after_prompt"' }).optional(),
  hooks,
});

/** A request for tokens whose fields have been checked; numbers are finite and bounded. */
export interface CheckedGeneration extends GenerationRequest {
  readonly promptTokenIds: readonly number[];
}

/** A request for log-probabilities whose fields have been checked. */
export interface CheckedScore extends ScoreRequest {
  readonly tokenIds: readonly number[];
}

type OnLogits = NonNullable<ScoreRequest['onLogits']>;

const scoring = z.strictObject({
  tokenIds,
  onLogits: z.custom<OnLogits>((value) => typeof value === 'function', 'a function').optional(),
  hooks,
});

/** What {@link Engine.generate} was asked for. Keys that are undefined count as absent. @throws EngineError INVALID_REQUEST naming the key */
export const checkedGeneration = (request: unknown, signal: unknown): CheckedGeneration =>
  checked(generation, request, signal) as CheckedGeneration;

/** What {@link Engine.score} was asked for. @throws EngineError INVALID_REQUEST naming the key */
export const checkedScore = (request: unknown, signal: unknown): CheckedScore =>
  checked(scoring, request, signal) as CheckedScore;

function checked(schema: typeof generation | typeof scoring, request: unknown, signal: unknown): object {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new EngineError('INVALID_REQUEST', `the signal is ${shown(signal)}; give an AbortSignal, or none`);
  }
  const given = withoutUndefined(request);
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw new EngineError('INVALID_REQUEST', reasonOf(result.error.issues[0]!, given, Object.keys(schema.shape)));
}

/** A caller's `{ stop: undefined }` says nothing, whatever the compiler's settings. */
function withoutUndefined(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || ArrayBuffer.isView(value)) return value;
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries.map(([key, each]) => [key, key === 'sampling' ? withoutUndefined(each) : each]));
}

function reasonOf(issue: z.core.$ZodIssue, request: unknown, keys: readonly string[]): string {
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const [unknown] = issue.keys as [string];
    const known = path === 'sampling' ? SAMPLING_KEYS : keys;
    const nearest = closest(unknown, [...known]);
    const advice = isNear(unknown, nearest) ? `did you mean "${nearest}"?` : `its keys are ${known.join(', ')}`;
    return `there is no "${unknown}" in ${path === '' ? 'a request' : `"${path}"`}; ${advice}`;
  }
  const got = valueAt(request, issue.path);
  const what = path === '' ? 'the request' : `"${path}"`;
  return `${what} is ${got === undefined ? 'missing' : shown(got)}; give ${expectedOf(issue)}`;
}

const expectedOf = (issue: z.core.$ZodIssue): string =>
  issue.code === 'invalid_type' && issue.expected === 'object' ? 'an object' : issue.message;

const SAMPLING_KEYS = Object.keys(generation.shape.sampling.unwrap().shape);

const SOURCE_CALLS = ['open', 'more', 'finish', 'commit', 'rollback'] as const;

const INTEGER_ARRAYS = [Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array];

function isTokenList(value: unknown): value is readonly number[] {
  // Array.from fills the holes of a list, which `every` would skip.
  if (Array.isArray(value)) return Array.from(value as readonly unknown[]).every((id) => typeof id === 'number');
  return INTEGER_ARRAYS.some((kind) => value instanceof kind && value.length > 0); // 0: also where its memory was given away
}

function isSource(value: unknown): value is KvSource {
  const source = value as Partial<Record<keyof KvSource, unknown>> | null;
  return (
    typeof source === 'object' && source !== null && SOURCE_CALLS.every((call) => typeof source[call] === 'function')
  );
}

function isHolder(value: unknown): value is BlockHolder {
  return typeof (value as Partial<BlockHolder> | null)?.match === 'function';
}

function isBiasList(value: unknown): value is SamplingParams['logitBias'] {
  const isPair = (pair: unknown): boolean => Array.isArray(pair) && pair.length === 2 && isTokenList(pair);
  return Array.isArray(value) && Array.from(value as readonly unknown[]).every(isPair);
}
