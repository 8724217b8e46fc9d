/** `expertwire bench balance`: the same prompts over placements and replica choices: predicted and measured makespan, speed, and the time of choosing. */
import yargs from 'yargs';
import { REPLICA_CHOICES, type ReplicaChoice } from '../../experts/replica_choice.js';
import { UsageError, type CommandContext } from '../../lib/commands/context.js';
import { wholeNumber } from '../../lib/commands/numbers.js';
import { table } from '../../lib/metrics/charts.js';
import { thisMachine } from '../machine.js';
import { measureAll, type BalanceOptions, type BalanceRow } from './measure.js';
import { SPLIT_SHAPE, splitTimes, type SplitRow } from './split_time.js';
import { KINDS, type Kind } from './traffic.js';

type Options = BalanceOptions & { readonly json: boolean };

export async function benchBalance(args: readonly string[], { stdout, signal }: CommandContext): Promise<void> {
  const options = parse(args);
  const { numSlots, rows } = await measureAll(options, signal);
  const splits = await splitTimes(options.seed);
  const { seed, kind, ranks, repeats, json } = options;
  if (json) {
    const { numPrompts: prompts, promptTokens: prompt_tokens, newTokens: new_tokens } = options;
    const settings = { seed, kind, ranks, slots: numSlots, prompts, prompt_tokens, new_tokens, repeats };
    stdout.write(`${JSON.stringify({ machine: thisMachine(), ...settings, rows, split: SPLIT_SHAPE, splits })}\n`);
    return;
  }
  stdout.write(report(options, numSlots, rows, splits));
}

function parse(args: readonly string[]): Options {
  const {
    slots,
    prompts: numPrompts,
    choices,
    kind,
    ...rest
  } = yargs([...args])
    .scriptName('expertwire bench balance')
    .usage(
      '$0\n\nThe same prompts with balancing off, eplb and eplb_stable placements, and each way to choose replicas.',
    )
    .option('model', { type: 'string', default: 'models/moe-7m', describe: 'model folder' })
    .option('ranks', { type: 'number', default: 2, describe: 'ranks; speed tells something where each has a core' })
    .option('slots', { type: 'number', describe: 'slots of all ranks, per layer (experts + a quarter)' })
    .option('kind', { type: 'string', default: 'code', describe: `traffic: ${KINDS.join(', ')}` })
    .option('prompts', { type: 'number', default: 16, describe: 'prompts at a time' })
    .option('prompt-tokens', { type: 'number', default: 64, describe: 'tokens of each prompt' })
    .option('new-tokens', { type: 'number', default: 8, describe: 'tokens to decode per prompt' })
    .option('choices', { type: 'string', default: 'round_robin,balanced', describe: REPLICA_CHOICES.join(', ') })
    .option('repeats', { type: 'number', default: 3, describe: 'runs; the median counts' })
    .option('seed', { type: 'number', default: 1, describe: 'of the prompts' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .strict()
    .parseSync();
  const { ranks, promptTokens, newTokens, repeats } = rest;
  const numbers = { ranks, prompts: numPrompts, 'prompt-tokens': promptTokens, 'new-tokens': newTokens, repeats };
  for (const [name, value] of Object.entries(numbers)) wholeNumber(`--${name}`, value, 1);
  const numSlots = wholeNumber('--slots', slots, 1);
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

function report(options: Options, numSlots: number, rows: readonly BalanceRow[], splits: readonly SplitRow[]): string {
  const { cpu, cores, memory, node } = thisMachine();
  const { ranks, kind, numPrompts, promptTokens, newTokens, repeats, seed, model } = options;
  const { experts, slots, ranks: splitRanks, topk } = SPLIT_SHAPE;
  return `${[
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; median of ${repeats} runs, after a warm-up`,
    `${model}: ${ranks} ranks, ${numSlots} slots per layer where planned; ${numPrompts} prompts of ${promptTokens} tokens (${kind}), ${newTokens} new ones each`,
    'placements are planned from the load of other prompts of that kind; balancedness = Σ mean rank load / Σ max rank load over layers (1 = perfect):',
    "predicted of the whole run's load, measured per step; gains are makespans (Σ of the busiest rank's load), and speed, against off;",
    'choose = time of choosing replicas per layer and step, mean over ranks',
    '',
    table([
      [
        'placement · choice',
        'predicted',
        'measured',
        'gain predicted',
        'measured',
        'tokens/s',
        'speed',
        'experts ms',
        'choose µs',
      ],
      ...rows.map((row) => [
        `${row.placement} · ${row.choice}`,
        row.predicted_balancedness.toFixed(3),
        row.measured_balancedness.toFixed(3),
        `${row.predicted_gain.toFixed(2)}x`,
        `${row.measured_gain.toFixed(2)}x`,
        row.tokens_per_s.toFixed(0),
        `${row.speed.toFixed(2)}x`,
        row.experts_ms.toFixed(0),
        row.choose_us.toFixed(0),
      ]),
    ]),
    '',
    `choosing alone, one rank: Zipf 1.0, ${experts} experts in ${slots} slots on ${splitRanks} ranks, ${topk} per token; allgather without its messages`,
    '',
    table([
      ['choice', 'tokens', 'median µs', 'p99 µs'],
      ...splits.map(({ choice, tokens, median_us, p99_us }) => [
        ...[choice, String(tokens), median_us.toFixed(0), p99_us.toFixed(0)],
      ]),
    ]),
  ].join('\n')}\n`;
}
