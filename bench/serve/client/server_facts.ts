/** What a load must know of a server before it can be made. */
import * as z from 'zod';
import { causeText } from '../../../base/foreign_text.js';
import { ServeBenchError } from '../load/errors.js';
import { WORDS } from '../load/prompt_maker.js';
import type { OpenAiClient } from './openai_client.js';

/** A model that a server offers. */
export interface ServedModel {
  readonly model: string;
  /** Tokens of prompt and answer together, as vLLM tells it; Infinity where the server doesn't. */
  readonly maxModelLen: number;
}

const models = z.looseObject({
  data: z.array(z.looseObject({ id: z.string(), max_model_len: z.int().min(1).nullish() })).min(1),
});

/** The model of that name, or the first that the server lists. @throws ServeBenchError NO_SERVER */
export async function servedModel(client: OpenAiClient, url: string, name: string | undefined): Promise<ServedModel> {
  const { status, value } = await client.json('GET', '/v1/models').catch((cause: unknown) => {
    throw new ServeBenchError(
      'NO_SERVER',
      `${url} doesn't answer (${causeText(cause)}); start a server there, or give its --url`,
      {
        cause,
      },
    );
  });
  const offered = models.safeParse(value).data?.data ?? [];
  if (offered.length === 0) {
    if (name !== undefined && status !== 401) return { model: name, maxModelLen: Infinity };
    const advice = status === 401 ? 'set OPENAI_API_KEY' : 'give --model';
    throw new ServeBenchError('NO_SERVER', `${url}/v1/models answers with ${status} and lists no models; ${advice}`);
  }
  const found = name === undefined ? offered[0]! : offered.find(({ id }) => id === name);
  if (found === undefined) {
    const ids = offered.map(({ id }) => id).join(', ');
    throw new ServeBenchError('NO_SERVER', `${url} has no model '${name!}'; it has ${ids}`);
  }
  return { model: found.id, maxModelLen: found.max_model_len ?? Infinity };
}

/** Tokens that the server makes of a word, by /tokenize as vLLM has it; null where it has no such thing. */
export async function tokensPerWord(client: OpenAiClient, model: string): Promise<number | null> {
  const answer = await client.json('POST', '/tokenize', { model, prompt: WORDS.join(' ') }).catch(() => null);
  const { data } = tokenized.safeParse(answer?.value);
  return answer?.status === 200 && data !== undefined ? data.count / WORDS.length : null;
}

const tokenized = z.looseObject({ count: z.int().min(1) });
