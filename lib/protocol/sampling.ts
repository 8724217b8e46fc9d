/** How a request's tokens are chosen, and which values can be. */
import { EngineError } from './errors.js';

/** Parameters of one request, under vLLM's names. */
export interface SamplingParams {
  /** 0 = greedy. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0 = all. */
  readonly topK: number;
  /** Keep the smallest set of most likely tokens whose probabilities reach this sum; 1 = all. */
  readonly topP: number;
  /** Keep tokens at least this fraction as likely as the most likely one; 0 = all. */
  readonly minP: number;
  /** Above 1 makes tokens of the prompt and output less likely (Keskar et al. 2019); 1 = off. */
  readonly repetitionPenalty: number;
  /** Taken off the logits of tokens that are in the output, once (OpenAI); −2 … 2, 0 = off. */
  readonly presencePenalty: number;
  /** Taken off the logits of tokens that are in the output, once for each time; −2 … 2, 0 = off. */
  readonly frequencyPenalty: number;
  /** Added to the logits of tokens: [token, bias], −100 … 100. */
  readonly logitBias: readonly (readonly [tokenId: number, bias: number])[];
  /** Only these can come; null: all. */
  readonly allowedTokenIds: readonly number[] | null;
  /** Tokens of output before one that ends the sequence can come. */
  readonly minTokens: number;
  readonly seed: number;
  /** Which of several samples of one prompt: another stream of the same seed. */
  readonly choice: number;
}

/** The most likely token, always. */
export const GREEDY: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  allowedTokenIds: null,
  minTokens: 0,
  seed: 0,
  choice: 0,
};

/** The most tokens that can have a bias, and that can end a sequence besides the model's own. */
export const MAX_LISTED_TOKENS = 1024;

/** Which tokens there are, and which of them can't come before `minTokens` others. */
export interface Vocabulary {
  readonly vocabSize: number;
  readonly endTokenIds: readonly number[];
}

/** @throws EngineError INVALID_REQUEST naming the parameter and its range */
export function checkSampling(params: SamplingParams): void {
  const { temperature, topK, topP, minP, repetitionPenalty, minTokens, seed, choice } = params;
  check(temperature >= 0 && Number.isFinite(temperature), 'temperature', temperature, 'a number from 0');
  check(topK >= 0 && Number.isInteger(topK), 'top_k', topK, 'a whole number from 0 (0 = off)');
  check(topP > 0 && topP <= 1, 'top_p', topP, 'a number over 0, up to 1');
  check(minP >= 0 && minP <= 1, 'min_p', minP, 'a number from 0 to 1');
  check(
    repetitionPenalty >= 1e-3 && repetitionPenalty <= 1e3, // beyond, scores overflow
    'repetition_penalty',
    repetitionPenalty,
    'a number from 0.001 to 1000',
  );
  for (const [name, penalty] of [
    ['presence_penalty', params.presencePenalty],
    ['frequency_penalty', params.frequencyPenalty],
  ] as const) {
    check(Math.abs(penalty) <= 2, name, penalty, 'a number from −2 to 2');
  }
  check(Number.isSafeInteger(minTokens) && minTokens >= 0, 'min_tokens', minTokens, 'a whole number from 0');
  check(Number.isSafeInteger(seed) && seed >= 0, 'seed', seed, 'a whole number from 0 to 2^53 − 1');
  check(Number.isSafeInteger(choice) && choice >= 0, 'choice', choice, 'a whole number from 0 to 2^53 − 1');
}

/** Whether the tokens that are named exist, and whether any may come. @throws EngineError INVALID_REQUEST naming the parameter */
export function checkSampledTokens(params: SamplingParams, { vocabSize, endTokenIds }: Vocabulary): void {
  const { logitBias, allowedTokenIds, minTokens } = params;
  checkListed('logit_bias', logitBias, MAX_LISTED_TOKENS);
  checkTokenIds(
    'logit_bias',
    logitBias.map(([token]) => token),
    vocabSize,
  );
  for (const [token, bias] of logitBias) {
    check(Math.abs(bias) <= 100, `logit_bias of token ${token}`, bias, 'a number from −100 to 100');
  }
  checkListed('allowed_token_ids', allowedTokenIds ?? [], vocabSize);
  checkTokenIds('allowed_token_ids', allowedTokenIds ?? [], vocabSize);
  const ends = new Set(minTokens > 0 ? endTokenIds : []);
  const allowed = new Set(allowedTokenIds ?? []);
  const numLeft = allowedTokenIds === null ? vocabSize - ends.size : [...allowed].filter((id) => !ends.has(id)).length;
  if (numLeft > 0) return;
  const reason = allowed.size === 0 && allowedTokenIds !== null ? 'allowed_token_ids is empty' : ONLY_ENDS;
  throw new EngineError('INVALID_REQUEST', `${reason}; allow a token more`);
}

/** @throws EngineError INVALID_REQUEST for an id that the model doesn't have */
export function checkTokenIds(name: string, ids: readonly number[], vocabSize: number): void {
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong === undefined) return;
  const reason = `${name} has token id ${wrong}, outside the model's vocabulary`;
  throw new EngineError('INVALID_REQUEST', `${reason}; give ids from 0 to ${vocabSize - 1}`);
}

/** @throws EngineError INVALID_REQUEST for a list that is longer than `most` */
export function checkListed(name: string, list: readonly unknown[], most: number): void {
  if (list.length <= most) return;
  throw new EngineError('INVALID_REQUEST', `${name} has ${list.length} tokens; give at most ${most}`);
}

const ONLY_ENDS = 'min_tokens lets no token come: all that may come end the sequence';

function check(isValid: boolean, name: string, value: number, range: string): void {
  if (!isValid) throw new EngineError('INVALID_REQUEST', `${name} is ${value}; give ${range}`);
}
