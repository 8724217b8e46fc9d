/** Options that say how tokens are chosen, of every command that generates. */
import type { Argv } from 'yargs';
import type { PartialConfig } from '../../config/load.js';

/** The options of {@link samplingOptions} as yargs parses them; undefined: not given. */
export interface SamplingArgs {
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
}

/** Adds them. `defaults`: what help says of who gives none; `maxNewTokens`: of who gives no number. */
export function samplingOptions<T>(yargs: Argv<T>, defaults: string, maxNewTokens: string): Argv<T & SamplingArgs> {
  const group = `Sampling (default: ${defaults}):`;
  return yargs
    .option('max-new-tokens', { type: 'number', describe: `most tokens of an answer (${maxNewTokens})`, group })
    .option('temperature', { type: 'number', describe: '0 = greedy', group })
    .option('top-k', { type: 'number', describe: 'only the k most likely tokens; 0 = all', group })
    .option('top-p', { type: 'number', describe: 'only the most likely tokens up to this sum', group })
    .option('min-p', { type: 'number', describe: 'only tokens this likely, relative to the best', group })
    .option('repetition-penalty', { type: 'number', describe: 'over 1: repeat less', group })
    .option('presence-penalty', { type: 'number', describe: 'over 0: less of what came already', group })
    .option('frequency-penalty', { type: 'number', describe: 'over 0: less of what came often', group })
    .option('min-tokens', { type: 'number', describe: 'no end before so many tokens (0)', group })
    .option('seed', {
      type: 'number',
      describe: 'another seed, another text; the same whatever the ranks (drawn from engine.seed, 0)',
      group,
    })
    .option('stop', { type: 'string', array: true, nargs: 1, describe: 'end before this text', group })
    .option('ignore-eos', { type: 'boolean', describe: "go on after the model's end token", group });
}

/** What they say of the configuration. */
export function samplingConfig(args: SamplingArgs): NonNullable<PartialConfig['generate']> {
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
  };
}
