/** Tokens of a streamed completion, and when they came. */
import { EventSourceParserStream } from 'eventsource-parser/stream';
import * as z from 'zod';
import { jsonOrUndefined } from '../../base/foreign_text.js';
import { BenchError } from '../base/errors.js';

/** Since the answer began; one after another. */
export interface StreamedTokens {
  readonly tokenIds: readonly number[];
  /** One per token; by performance.now(). */
  readonly atMs: readonly number[];
}

const EVENT = z.looseObject({ choices: z.array(z.looseObject({ token_ids: z.array(z.int()).nullish() })) });

/** The tokens of an answer as they come. Rejects where its server ends before. @throws BenchError NOT_UNDERSTOOD */
export async function* tokensOf(answer: Response): AsyncGenerator<number> {
  if (!answer.ok) throw new BenchError('NOT_UNDERSTOOD', `${answer.url}: ${answer.status} ${await answer.text()}`);
  const events = answer.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) yield* EVENT.safeParse(jsonOrUndefined(data)).data?.choices[0]?.token_ids ?? [];
}

/** Reads an answer to its end; `onToken` hears how many tokens there are. Rejects as {@link tokensOf}. */
export async function readTokens(
  answer: Response,
  onToken: (numTokens: number) => void = () => undefined,
): Promise<StreamedTokens> {
  const tokenIds: number[] = [];
  const atMs: number[] = [];
  for await (const id of tokensOf(answer)) {
    atMs.push(performance.now());
    onToken(tokenIds.push(id));
  }
  return { tokenIds, atMs };
}
