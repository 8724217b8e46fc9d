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

/** Reads an answer to its end; `onToken` hears how many tokens there are. Rejects where its server ends before. @throws BenchError NOT_UNDERSTOOD */
export async function readTokens(
  answer: Response,
  onToken: (numTokens: number) => void = () => undefined,
): Promise<StreamedTokens> {
  if (!answer.ok) throw new BenchError('NOT_UNDERSTOOD', `${answer.url}: ${answer.status} ${await answer.text()}`);
  const tokenIds: number[] = [];
  const atMs: number[] = [];
  const events = answer.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) {
    for (const id of EVENT.safeParse(jsonOrUndefined(data)).data?.choices[0]?.token_ids ?? []) {
      atMs.push(performance.now());
      onToken(tokenIds.push(id));
    }
  }
  return { tokenIds, atMs };
}
