/** The options of `expertwire bench chaos`, checked. */
import { UsageError } from '../../lib/commands/base/context.js';
import { list, seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { MAX_RANKS } from '../../base/ids.js';
import { benchParser } from '../base/options.js';
import { FAULT_KINDS, MOMENTS, type Fault, type FaultCounts, type Moment } from './plan/fault.js';
import { faultPlan } from './plan/fault_plan.js';

/** What runs, and what befalls it. */
export interface ChaosOptions {
  readonly model: string;
  readonly ranks: number;
  readonly maxRanks: number;
  readonly seed: number;
  readonly plan: readonly Fault[];
  /** Experts beyond one of each: replicas. */
  readonly redundant: number;
  readonly onPeerLoss: 'recover' | 'mask';
  readonly timeoutMs: number;
  /** Streams at a time, and the requests that they ask in turn. */
  readonly streams: number;
  readonly requests: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly set: readonly string[];
  readonly json: string | undefined;
}

/** What befalls a job where nothing is asked for. */
const USUAL: FaultCounts = { kill: 2, stop: 1, slow: 1, cut: 0, silence: 0, leave: 0, join: 2, abort: 0 };

const DESCRIPTIONS: Readonly<Record<keyof FaultCounts, string>> = {
  kill: 'SIGKILL to a rank',
  stop: 'SIGSTOP to a rank, and SIGCONT later',
  slow: 'half of its time for a rank, for a while',
  cut: 'the link between two ranks ends',
  silence: 'nothing comes any more from one rank to another',
  leave: 'SIGTERM to a rank, which gives away what it has and goes',
  join: 'a rank joins',
  abort: 'a newcomer is killed while it joins',
};

/** Reads and checks the options, and draws the faults. @throws UsageError */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const what =
    'A job under load with random faults: what each stalls, how long until everything is there again, and that the tokens are those of an undisturbed run.';
  const count = (kind: keyof FaultCounts) => ({ type: 'number', describe: `faults: ${DESCRIPTIONS[kind]}` }) as const;
  const parsed = benchParser('chaos', args, what)
    .option('kill', count('kill'))
    .option('stop', count('stop'))
    .option('slow', count('slow'))
    .option('cut', count('cut'))
    .option('silence', count('silence'))
    .option('leave', count('leave'))
    .option('join', count('join'))
    .option('abort', count('abort'))
    .option('seed', { type: 'number', default: 1, describe: 'of faults and requests' })
    .option('when', {
      type: 'string',
      default: 'apart',
      describe: `when faults come, of which each draws one: ${MOMENTS.join(',')}`,
    })
    .option('gap-tokens', {
      type: 'number',
      default: 200,
      describe: 'tokens of all streams between two faults, on average',
    })
    .option('stop-ms', { type: 'number', describe: 'how long a rank is stopped, on average (0.75 × --timeout-ms)' })
    .option('slow-ms', { type: 'number', default: 1000, describe: 'how long a rank is slow' })
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('ranks', { type: 'number', default: 4, describe: 'ranks that the job begins with' })
    .option('max-ranks', { type: 'number', describe: 'its seats (2 × --ranks)' })
    .option('redundant', { type: 'number', default: 0, describe: 'experts.num_redundant_experts' })
    .option('on-peer-loss', {
      type: 'string',
      default: 'recover',
      describe: 'recover, or mask: degraded tokens are told, and not compared',
    })
    .option('timeout-ms', { type: 'number', default: 1000, describe: 'comm.timeout_ms: how long a rank may be silent' })
    .option('streams', { type: 'number', default: 4, describe: 'requests at a time' })
    .option('requests', { type: 'number', default: 16, describe: 'that are asked in turn, half of them sampled' })
    .option('prompt-tokens', { type: 'number', default: 64, describe: 'of the longest prompt' })
    .option('new-tokens', { type: 'number', default: 64, describe: 'of the longest answer' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'string', requiresArg: true, describe: 'file for all figures' })
    .parseSync();
  const { ranks, seed, redundant, gapTokens, slowMs, streams, requests, promptTokens, newTokens, set, json } = parsed;
  const { model, timeoutMs, onPeerLoss } = parsed;
  wholeNumber('--ranks', ranks, 1, MAX_RANKS);
  seedNumber('--seed', seed);
  const maxRanks = wholeNumber('--max-ranks', parsed.maxRanks, ranks, MAX_RANKS) ?? Math.min(2 * ranks, MAX_RANKS);
  const numbers = { streams, requests, 'prompt-tokens': promptTokens, 'new-tokens': newTokens };
  for (const [name, value] of Object.entries(numbers)) wholeNumber(`--${name}`, value, 1);
  const times = { 'slow-ms': slowMs, 'stop-ms': parsed.stopMs, 'timeout-ms': timeoutMs, 'gap-tokens': gapTokens };
  for (const [name, value] of Object.entries(times)) wholeNumber(`--${name}`, value, 1);
  wholeNumber('--redundant', redundant, 0);
  if (onPeerLoss !== 'recover' && onPeerLoss !== 'mask') {
    throw new UsageError(`--on-peer-loss is '${onPeerLoss}'; give recover or mask`);
  }
  const counts = countsOf(parsed);
  const plan = faultPlan({
    ...{ seed, counts, numRanks: ranks, maxRanks, minRanks: 1, gapTokens, slowMs },
    ...{ moments: list(parsed.when).map(momentOf), stopMs: parsed.stopMs ?? Math.ceil(0.75 * timeoutMs) },
  });
  if (plan === null) throw new UsageError(tooMany(counts, ranks, maxRanks));
  return {
    ...{ model, ranks, maxRanks, seed, plan, redundant, onPeerLoss, timeoutMs },
    ...{ streams, requests, promptTokens, newTokens, set, json },
  };
}

/** Of the kinds that were asked for, or else the usual ones. */
function countsOf(asked: Readonly<Record<keyof FaultCounts, number | undefined>>): FaultCounts {
  for (const kind of FAULT_KINDS) wholeNumber(`--${kind}`, asked[kind], 0, 10_000);
  if (FAULT_KINDS.every((kind) => asked[kind] === undefined)) return USUAL;
  const counts = FAULT_KINDS.map((kind) => [kind, asked[kind] ?? 0] as const);
  return Object.fromEntries(counts) as Record<keyof FaultCounts, number>;
}

function momentOf(text: string): Moment {
  const moment = MOMENTS.find((each) => each === text);
  if (moment !== undefined) return moment;
  throw new UsageError(`--when: there is no '${text}'; give some of ${MOMENTS.join(',')}`);
}

function tooMany({ join, ...others }: FaultCounts, ranks: number, maxRanks: number): string {
  const taken = others.kill + others.stop + others.cut + others.silence + others.leave;
  return `${taken} faults may take a rank each, and ${join} join, of a job of ${ranks} ranks and ${maxRanks} seats: no order leaves a rank and a seat; give more --ranks, --max-ranks or --join, or fewer others`;
}
