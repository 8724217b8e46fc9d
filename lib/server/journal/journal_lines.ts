/** Lines of a journal: what a request asked, what came of it, and that it ended early. Pure. */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import type { GenerationRequest } from '../../protocol/request.js';
import { ApiError, STATUS_OF, type ApiErrorCode } from '../base/api_error.js';
import type { Delta } from '../openai/requests/choice_deltas.js';
import type { Choice } from '../openai/requests/choices.js';
import type { Asked, KeptRequest, RequestRecord } from './kept_request.js';

/** The form that this build writes and reads. */
const VERSION = 1;

/** The first line says what the others are. */
export interface HeadLine {
  readonly kind: 'journal';
  readonly version: number;
  /** Of the model whose tokens these are: see {@link modelDigest}. */
  readonly model: string;
}

/** What the engine was asked for, but the prompt; who asks over HTTP has no hooks. */
type Restated = Omit<GenerationRequest, 'promptTokenIds' | 'hooks'>;

/** What was asked. A prompt stands once, however many choices it has. */
export interface RequestLine {
  readonly kind: 'request';
  readonly number: number;
  readonly asked: Asked;
  readonly prompts: readonly Choice['prompt'][];
  readonly choices: readonly {
    readonly prompt: number;
    readonly sample: number;
    readonly request: Restated;
  }[];
}

/** What came, before anybody is told of it. */
export interface DeltasLine {
  readonly kind: 'deltas';
  readonly number: number;
  readonly deltas: readonly (Omit<Delta, 'choice'> & {
    readonly choice: number;
    /** Tokens of it that came before. */
    readonly from: number;
  })[];
}

/** It is over without being finished: its client left, or it failed. */
export interface EndLine {
  readonly kind: 'end';
  readonly number: number;
  readonly error: { readonly code: ApiErrorCode; readonly text: string; readonly param: string | null } | null;
}

/** All that stands in a journal behind its first line. */
export type JournalLine = RequestLine | DeltasLine | EndLine;

/** A journal's first line. */
export const headLine = (model: string): string => textOf({ kind: 'journal', version: VERSION, model });

/** What equal tokens of two engines depend on, as far as a head knows it. */
export const modelDigest = (spec: object): string => createHash('sha256').update(JSON.stringify(spec)).digest('hex');

/** A line for a request that begins. */
export function requestLine({ number, asked, choices }: RequestRecord): string {
  const prompts = [...new Set(choices.map(({ prompt }) => prompt))];
  return textOf({
    kind: 'request',
    number,
    asked,
    prompts: prompts.map(({ tokenIds, text }) => ({ tokenIds, text: asked.body.echo === true ? text : null })),
    choices: choices.map(({ prompt, sample, request }) => {
      const rest = Object.entries(request).filter(([key]) => key !== 'promptTokenIds' && key !== 'hooks');
      return { prompt: prompts.indexOf(prompt), sample, request: Object.fromEntries(rest) as Restated };
    }),
  });
}

/** A line for what came of it next. */
export const deltasLine = (
  { record, numTokensOf }: Pick<KeptRequest, 'record' | 'numTokensOf'>,
  deltas: readonly Delta[],
): string =>
  textOf({
    kind: 'deltas',
    number: record.number,
    deltas: deltas.map((delta) => ({ ...delta, choice: delta.choice.index, from: numTokensOf(delta.choice) })),
  });

/** A line for one that isn't finished and won't be. `error`: null: nobody wants it. */
export function endLine(number: number, error: ApiError | null): string {
  return textOf({
    kind: 'end',
    number,
    error: error && { code: error.code, text: error.text, param: error.param },
  });
}

/** The choices of a line, as they were asked. */
export function choicesOfLine({ prompts, choices }: RequestLine): Choice[] {
  return choices.map(({ prompt: i, sample, request }, index) => {
    const prompt = prompts[i]!;
    return { index, prompt, sample, request: { ...request, promptTokenIds: prompt.tokenIds } };
  });
}

/** The error of a line. */
export const errorOfLine = ({ error }: EndLine): ApiError | null =>
  error && new ApiError(error.code, error.text, error.param === null ? {} : { param: error.param });

/** What a line says; null where it is none of a journal's. */
export function readLine(text: string): HeadLine | JournalLine | null {
  const result = LINE.safeParse(revived(jsonOrUndefined(text)));
  return result.success ? (result.data as HeadLine | JournalLine) : null;
}

/** Whether this build can read it. */
export const isReadable = ({ version }: HeadLine): boolean => version === VERSION;

const count = z.int().min(0);
const code = z.enum(Object.keys(STATUS_OF) as [ApiErrorCode, ...ApiErrorCode[]]);
/** What a build of the same version wrote: its outlines are enough to tell it from damage. */
const LINE = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('journal'), version: z.number(), model: z.string() }),
  z.object({
    kind: z.literal('request'),
    number: count,
    asked: z.object({
      endpoint: z.enum(['completions', 'chat', 'responses']),
      head: z.object({ id: z.string(), created: z.number(), model: z.string() }),
      body: z.record(z.string(), z.unknown()),
      name: z.string(),
      owner: z.string(),
    }),
    prompts: z.array(z.object({ tokenIds: z.array(count), text: z.string().nullable() })),
    choices: z.array(z.object({ prompt: count, sample: count, request: z.looseObject({ maxNewTokens: count }) })),
  }),
  z.object({
    kind: z.literal('deltas'),
    number: count,
    deltas: z.array(
      z.object({
        choice: count,
        from: count,
        promptLogprobs: z.array(z.unknown()).nullable(),
        tokens: z.array(z.looseObject({ kind: z.literal('token'), tokenId: count, text: z.string() })),
        text: z.string(),
        end: z.looseObject({ kind: z.literal('finished') }).nullable(),
      }),
    ),
  }),
  z.object({
    kind: z.literal('end'),
    number: count,
    error: z.object({ code, text: z.string(), param: z.string().nullable() }).nullable(),
  }),
]);

const textOf = (line: HeadLine | JournalLine): string => `${JSON.stringify(line, plain)}\n`;

/** JSON has no infinities, and no floats in a row. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return { $number: String(value) };
  if (!(value instanceof Float32Array)) return value;
  return { $f32: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
}

function revived(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(revived);
  const { $number: number, $f32: floats } = value as { readonly $number?: unknown; readonly $f32?: unknown };
  if (typeof number === 'string') return Number(number);
  if (typeof floats === 'string') return floatsOf(Buffer.from(floats, 'base64'));
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, revived(each)]));
}

/** A copy: bytes of a pool may begin anywhere. */
const floatsOf = (bytes: Buffer): Float32Array =>
  new Float32Array(new Uint8Array(bytes).buffer, 0, Math.floor(bytes.length / 4));
