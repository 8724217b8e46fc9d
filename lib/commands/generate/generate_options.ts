/** Options of `expertwire generate`, and the configuration that they make. */
import type { Argv } from 'yargs';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { configOf, engineOptions, type EngineArgs } from '../engine/engine_options.js';
import type { PromptArgs } from '../engine/prompts.js';
import { samplingConfig, samplingOptions, type SamplingArgs } from '../engine/sampling_options.js';

/** The options of `generate` as yargs parses them; undefined: as the configuration says. */
export interface GenerateArgs extends EngineArgs, PromptArgs, SamplingArgs {
  readonly returnRoutedExperts?: boolean | undefined;
  /** A share as text; '': 1. */
  readonly returnRouterLogits?: string | undefined;
  readonly logprobs?: number | undefined;
  readonly plot?: string | undefined;
  readonly json?: boolean | undefined;
  readonly summary?: boolean | undefined;
}

/** Adds the options of `generate` to a command line, those of the engine included. */
export function generateOptions<T>(yargs: Argv<T>): Argv<T & GenerateArgs> {
  const prompts = 'Prompts:';
  const withPrompts = engineOptions(yargs)
    .option('prompt', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'text to continue; repeatable',
      group: prompts,
    })
    .option('prompts', {
      type: 'string',
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
    .option('messages', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'JSON file with a conversation, [{"role", "content"}, …]; -: standard input; repeatable',
      group: prompts,
    })
    .option('system', {
      type: 'string',
      describe: 'with a chat: what the model is told before all else',
      group: prompts,
    })
    .option('tools', { type: 'string', describe: 'with a chat: JSON file with tools that it may call', group: prompts })
    .option('documents', { type: 'string', describe: 'with a chat: JSON file with documents for it', group: prompts })
    .option('continue-final-message', {
      type: 'boolean',
      describe: 'with --messages: go on with the last message instead of answering it',
      group: prompts,
    });
  return samplingOptions(withPrompts, 'greedy', '64')
    .option('return-routed-experts', {
      type: 'boolean',
      describe: "with --json: each token's experts",
      group: 'Output:',
    })
    .option('return-router-logits', {
      type: 'string',
      describe: "with --json or --record-mode per_token: each token's router logits, or of this share of them (0.1)",
      group: 'Output:',
    })
    .option('logprobs', {
      type: 'number',
      describe: "with --json: each token's log-probability, and those of this many of the most likely (0 … 20)",
      group: 'Output:',
    })
    .option('plot', {
      type: 'string',
      describe: 'draw the load of experts and ranks, and balancedness over time: .svg, .png or .html',
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
export const generateConfig = (args: GenerateArgs, env: Environment): Promise<ExpertwireConfig> =>
  configOf(args, env, {
    generate: { ...samplingConfig(args), chat: args.chat ?? impliedChat(args), system: args.system },
  });

/** What only a chat has a use for makes one. */
const impliedChat = ({ system, tools, documents }: GenerateArgs): true | undefined =>
  system !== undefined || tools !== undefined || documents !== undefined || undefined;
