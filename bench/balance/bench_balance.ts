/** `expertwire bench balance`: the same prompts over placements and replica choices: what a plan promises, what speed it brings, and the time of choosing. */
import { REPLICA_CHOICES, type ReplicaChoice } from '../../experts/placement/replica_choice.js';
import { UsageError, type CommandContext } from '../../lib/commands/base/context.js';
import { seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { thisMachine } from '../base/machine.js';
import { accepted, benchParser } from '../base/options.js';
import { measureAll, type BalanceOptions } from './measure.js';
import { report } from './report.js';
import { SPLIT_SHAPE, splitTimes } from './split_time.js';
import { KINDS, type Kind } from './traffic.js';

type Options = BalanceOptions & { readonly json: boolean };

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError for options that can't be measured. */
export async function benchBalance(args: readonly string[], { stdout, signal }: CommandContext): Promise<void> {
  const options = accepted(parse(args));
  const machine = thisMachine();
  const balance = await measureAll(options, machine.cores, signal);
  const splits = await splitTimes(options.seed);
  const { seed, kind, ranks, rounds, json } = options;
  if (json) {
    const { numPrompts: prompts, promptTokens: prompt_tokens, newTokens: new_tokens } = options;
    const { numSlots: slots, speedFrom: speed_from, rows } = balance;
    const settings = { seed, kind, ranks, slots, prompts, prompt_tokens, new_tokens, rounds, speed_from };
    stdout.write(`${JSON.stringify({ machine, ...settings, rows, split: SPLIT_SHAPE, splits })}\n`);
    return;
  }
  stdout.write(report(machine, options, balance, splits));
}

function parse(args: readonly string[]): Options {
  const {
    slots,
    prompts: numPrompts,
    choices,
    kind,
    ...rest
  } = benchParser(
    'balance',
    args,
    'The same prompts with balancing off, eplb and eplb_stable placements, and each way to choose replicas, in turns.',
  )
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('ranks', { type: 'number', default: 2, describe: 'ranks; speed is measured where each has a core' })
    .option('slots', { type: 'number', describe: 'slots of all ranks, per layer (experts + a quarter)' })
    .option('kind', { type: 'string', default: 'code', describe: `traffic: ${KINDS.join(', ')}` })
    .option('prompts', { type: 'number', default: 16, describe: 'prompts at a time' })
    .option('prompt-tokens', { type: 'number', default: 64, describe: 'tokens of each prompt' })
    .option('new-tokens', { type: 'number', default: 8, describe: 'tokens to decode per prompt' })
    .option('choices', { type: 'string', default: 'round_robin,balanced', describe: REPLICA_CHOICES.join(', ') })
    .option('rounds', { type: 'number', default: 5, describe: 'each runs everything once; the median counts' })
    .option('reopen', { type: 'boolean', default: false, describe: 'start engines anew in each round: less memory' })
    .option('seed', { type: 'number', default: 1, describe: 'of the prompts' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  const { ranks, promptTokens, newTokens, rounds } = rest;
  const numbers = { ranks, prompts: numPrompts, 'prompt-tokens': promptTokens, 'new-tokens': newTokens, rounds };
  for (const [name, value] of Object.entries(numbers)) wholeNumber(`--${name}`, value, 1);
  const numSlots = wholeNumber('--slots', slots, 1);
  seedNumber('--seed', rest.seed);
  return {
    ...rest,
    ...{ numSlots, numPrompts },
    kind: oneOf<Kind>('kind', KINDS, kind),
    choices: choices.split(',').map((name) => oneOf<ReplicaChoice>('choice', REPLICA_CHOICES, name)),
  };
}

function oneOf<T extends string>(what: string, names: readonly T[], name: string): T {
  const found = names.find((each) => each === name);
  if (found === undefined) throw new UsageError(`no ${what} '${name}'; there are: ${names.join(', ')}`);
  return found;
}
