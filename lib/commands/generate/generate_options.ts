/** Options of `expertwire generate`, and the configuration that they make. */
import type { Argv } from 'yargs';
import type { ExpertwireConfig } from '../../config/schema.js';
import { configOf, engineOptions, type EngineArgs } from '../engine/engine_options.js';
import type { PromptArgs } from '../engine/prompts.js';

/** The options of `generate` as yargs parses them; undefined: as the configuration says. */
export interface GenerateArgs extends EngineArgs, PromptArgs {
  readonly maxNewTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly minTokens?: number | undefined;
  readonly seed?: number | undefined;
  readonly stop?: readonly string[] | undefined;
  readonly ignoreEos?: boolean | undefined;
  readonly returnRoutedExperts?: boolean | undefined;
  readonly logprobs?: number | undefined;
  readonly plot?: string | undefined;
  readonly json?: boolean | undefined;
  readonly summary?: boolean | undefined;
}

/** Adds the options of `generate` to a command line, those of the engine included. */
export function generateOptions<T>(yargs: Argv<T>): Argv<T & GenerateArgs> {
  const prompts = 'Prompts:';
  const sampling = 'Sampling (default: greedy):';
  return engineOptions(yargs)
    .option('prompt', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'text to continue; repeatable',
      group: prompts,
    })
    .option('prompts', {
      type: 'string',
      nargs: 1, // also of '-'
      describe: 'file with one prompt a line; -: standard input',
      group: prompts,
    })
    .option('prompt-ids', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'a prompt as token ids: 5,17,3',
      group: prompts,
    })
    .option('chat', { type: 'boolean', describe: 'put each prompt into the chat template', group: prompts })
    .option('max-new-tokens', { type: 'number', describe: 'tokens to write per prompt (64)', group: sampling })
    .option('temperature', { type: 'number', describe: '0 = greedy', group: sampling })
    .option('top-k', { type: 'number', describe: 'only the k most likely tokens; 0 = all', group: sampling })
    .option('top-p', { type: 'number', describe: 'only the most likely tokens up to this sum', group: sampling })
    .option('min-p', { type: 'number', describe: 'only tokens this likely, relative to the best', group: sampling })
    .option('repetition-penalty', { type: 'number', describe: 'over 1: repeat less', group: sampling })
    .option('presence-penalty', { type: 'number', describe: 'over 0: less of what came already', group: sampling })
    .option('frequency-penalty', { type: 'number', describe: 'over 0: less of what came often', group: sampling })
    .option('min-tokens', { type: 'number', describe: 'no end before so many tokens (0)', group: sampling })
    .option('seed', {
      type: 'number',
      describe: 'another seed, another text; the same whatever the ranks (drawn from engine.seed, 0)',
      group: sampling,
    })
    .option('stop', { type: 'string', array: true, nargs: 1, describe: 'end before this text', group: sampling })
    .option('ignore-eos', { type: 'boolean', describe: "go on after the model's end token", group: sampling })
    .option('return-routed-experts', {
      type: 'boolean',
      describe: "with --json: each token's experts",
      group: 'Output:',
    })
    .option('logprobs', {
      type: 'number',
      describe: "with --json: each token's log-probability, and those of this many of the most likely (0 … 20)",
      group: 'Output:',
    })
    .option('plot', {
      type: 'string',
      describe: 'draw the load of experts and ranks, and balancedness over time: .svg or .html',
      group: 'Output:',
    })
    .option('json', { type: 'boolean', describe: 'one JSON object a prompt, then the statistics', group: 'Output:' })
    .option('summary', {
      type: 'boolean',
      describe: 'speed, bytes and expert load at the end (default: on a terminal)',
      group: 'Output:',
    });
}

/** @throws ConfigError */
export const generateConfig = (args: GenerateArgs): Promise<ExpertwireConfig> =>
  configOf(args, { generate: samplingArgs(args) });

function samplingArgs(args: GenerateArgs): NonNullable<Parameters<typeof configOf>[1]>['generate'] {
  return {
    max_new_tokens: args.maxNewTokens,
    temperature: args.temperature,
    top_k: args.topK,
    top_p: args.topP,
    min_p: args.minP,
    repetition_penalty: args.repetitionPenalty,
    presence_penalty: args.presencePenalty,
    frequency_penalty: args.frequencyPenalty,
    min_tokens: args.minTokens,
    seed: args.seed,
    stop: args.stop,
    ignore_eos: args.ignoreEos,
    chat: args.chat,
  };
}
