/** The options of `expertwire bench cluster`, checked. */
import { UsageError } from '../../lib/commands/base/context.js';
import { list, seedNumber, wholeNumber, wholeNumbers } from '../../lib/commands/base/numbers.js';
import { benchParser } from '../base/options.js';

/** What can be measured, in the order in which it is. */
export const MEASUREMENTS = ['migration', 'handover', 'routing', 'router'] as const;

/** One of {@link MEASUREMENTS}. */
export type MeasurementName = (typeof MEASUREMENTS)[number];

/** What is measured, and how. */
export interface ClusterBenchOptions {
  readonly names: readonly MeasurementName[];
  readonly rounds: number;
  readonly seed: number;
  /** Tokens that are there when a request moves. */
  readonly moveTokens: readonly number[];
  /** Of prompts that are handed over. */
  readonly promptTokens: readonly number[];
  /** Of the link that keys and values of prompts go over. */
  readonly linkMbit: number;
  /** Requests of each load of `routing`. */
  readonly requests: number;
  /** Tokens of each stream of `router`. */
  readonly streamTokens: number;
  /** Of all instances. */
  readonly set: readonly string[];
  readonly json: string | undefined;
}

/** Positions of the random model, and what streams add to those that move. */
export const MAX_POSITIONS = 8192;
const MAX_TOKENS = 6144;

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): ClusterBenchOptions {
  const what =
    'Many instances: what it costs that requests move, that prompts are computed elsewhere, and that a router stands before all, each against leaving it out.';
  const parsed = benchParser('cluster', args, what)
    .option('only', {
      type: 'string',
      default: MEASUREMENTS.join(','),
      requiresArg: true,
      describe: 'what is measured',
    })
    .option('rounds', { type: 'number', default: 5, describe: 'in turns; the median counts' })
    .option('seed', { type: 'number', default: 1, describe: 'of prompts, weights and loads' })
    .option('move-tokens', {
      type: 'string',
      default: '256,1024,4096',
      requiresArg: true,
      describe: 'migration: tokens that are there when a request moves',
    })
    .option('prompt-tokens', {
      type: 'string',
      default: '256,512,1024,2048',
      requiresArg: true,
      describe: 'handover: of prompts',
    })
    .option('link-mbit', { type: 'number', default: 1000, describe: 'handover: Mbit/s of the link' })
    .option('requests', { type: 'number', default: 48, describe: 'routing: of each load' })
    .option('stream-tokens', { type: 'number', default: 500, describe: 'router: of each stream' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any key, of all instances' })
    .option('json', { type: 'string', requiresArg: true, describe: 'file for all figures' })
    .parseSync();
  const { rounds, seed, linkMbit, requests, streamTokens, set, json } = parsed;
  for (const [name, value] of Object.entries({ rounds, 'link-mbit': linkMbit })) wholeNumber(`--${name}`, value, 1);
  wholeNumber('--requests', requests, 4);
  wholeNumber('--stream-tokens', streamTokens, 2);
  seedNumber('--seed', seed);
  return {
    ...{ names: list(parsed.only).map(nameOf), rounds, seed, linkMbit, requests, streamTokens, set, json },
    moveTokens: wholeNumbers('--move-tokens', parsed.moveTokens, 1, MAX_TOKENS),
    promptTokens: wholeNumbers('--prompt-tokens', parsed.promptTokens, 1, MAX_TOKENS),
  };
}

function nameOf(text: string): MeasurementName {
  const name = MEASUREMENTS.find((each) => each === text);
  if (name !== undefined) return name;
  throw new UsageError(`--only: there is no '${text}'; give some of ${MEASUREMENTS.join(',')}`);
}
