/** One pass over the prompts of a run: all at once, and when each of their tokens came. */
import type { ExpertwireConfig } from '../../../lib/config/schema.js';
import type { MeasuredPrompt } from '../../../lib/experiment/measures/prompts.js';
import { requestOf } from '../../../lib/head/config_request.js';
import type { Engine } from '../../../lib/head/engine.js';

/** What became of a prompt. */
export interface Answer {
  readonly prompt: MeasuredPrompt;
  readonly tokenIds: readonly number[];
  readonly text: string;
  /** Of each token, from the beginning of the pass. */
  readonly tokenMs: readonly number[];
  /** [tokens − 1][MoE layers][K]; null: not told. */
  readonly routed: readonly (readonly (readonly number[])[])[] | null;
}

/** What a pass takes. */
export interface PassOptions {
  readonly config: ExpertwireConfig;
  readonly prompts: readonly MeasuredPrompt[];
  /** Experts of every token are told. */
  readonly routing: boolean;
  readonly signal: AbortSignal;
}

/** Answers all prompts, in their order. */
export async function runPass(engine: Engine, options: PassOptions): Promise<Answer[]> {
  const startMs = performance.now();
  return Promise.all(options.prompts.map((prompt, i) => answerOf(engine, prompt, i, startMs, options)));
}

async function answerOf(
  engine: Engine,
  prompt: MeasuredPrompt,
  index: number,
  startMs: number,
  { config, routing, signal }: PassOptions,
): Promise<Answer> {
  const tokenIds: number[] = [];
  const tokenMs: number[] = [];
  let text = '';
  let routed: Answer['routed'] = null;
  const request = requestOf(config, prompt, index, { returnRoutedExperts: routing });
  for await (const event of engine.generate(request, signal)) {
    text += event.text;
    if (event.kind === 'finished') routed = event.routedExperts;
    if (event.kind !== 'token') continue;
    tokenIds.push(event.tokenId);
    tokenMs.push(performance.now() - startMs);
  }
  return { prompt, tokenIds, text, tokenMs, routed };
}
