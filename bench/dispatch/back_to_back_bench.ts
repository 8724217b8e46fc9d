/** Dispatch and combine back to back, in turns with raw TCP that does the same: neither a barrier nor another process lets a core fall asleep in between. */
import { FRAME_HEADER_BYTES } from '../../comm/index.js';
import { quantile } from '../base/machine.js';
import { openParties, workloadOf } from './all_to_all_bench.js';
import type { RawPhase, Task } from './base/orders.js';
import { rowBytesOf } from './base/wire.js';
import { interleave, TURN_MS, type Repeats, type Timings } from './interleave.js';
import { sum, trafficOf } from './matrices.js';
import type { DispatchOptions } from './options.js';
import { PARTIES, type Parties, type PartyName } from './parties/parties.js';
import type { Setting } from './settings.js';

export const BACK_TO_BACK_FORMULAE = {
  pair_us:
    'µs of a dispatch and the combine after it, the slowest rank’s, in blocks of about 0.15 s without barriers, in turns with blocks of raw TCP; median over the blocks',
  best_us: 'the fastest block’s: what a busy machine disturbs least; all ratios are of such',
  raw_us:
    'best of plain TCP sockets with data events that send as many bytes to and fro, each phase begun when the one before has arrived',
  tuned_us: 'likewise, received into one reused buffer (onread)',
  echo_us: 'best of one token’s frame there and back over plain TCP, one echo after the other',
  cpu_us:
    'processor time per pair of the busiest rank’s process, all its threads: least over the blocks; none where ranks share a process',
  times_f32: 'best / best of the line with f32 both ways and all else alike',
} as const;

/** One setting; {@link BACK_TO_BACK_FORMULAE} says how its figures come about. */
export interface BackToBackRow extends Setting {
  readonly io_thread: boolean;
  readonly link_mbit: number | null;
  /** Of all ranks, per pair. */
  readonly wire_bytes: number;
  readonly pair_us: number;
  readonly best_us: number;
  readonly raw_us: number;
  readonly tuned_us: number;
  readonly echo_us: number;
  readonly times_raw: number;
  readonly times_tuned: number;
  readonly times_echo: number;
  readonly cpu_us: number | null;
  readonly times_f32: number | null;
  readonly pairs_per_block: number;
  readonly blocks: number;
}

/** All settings. `onSetting` is told before each. @throws BenchError when a process fails. */
export async function measureBackToBack(
  options: DispatchOptions,
  onSetting: (setting: Setting) => void,
  signal: AbortSignal,
): Promise<BackToBackRow[]> {
  const rows: Omit<BackToBackRow, 'times_f32'>[] = [];
  for (const setting of options.settings) {
    onSetting(setting);
    rows.push(await measureSetting(setting, options, signal));
  }
  return rows.map((row) => {
    const plain = rows.find((other) => isPlain(other) && isAlike(row, other));
    return { ...row, times_f32: plain === undefined ? null : row.best_us / plain.best_us };
  });
}

async function measureSetting(
  setting: Setting,
  options: DispatchOptions,
  signal: AbortSignal,
): Promise<Omit<BackToBackRow, 'times_f32'>> {
  const parties = await openParties(setting, options, signal);
  try {
    const prepared = await parties.prepare(workloadOf(setting, options));
    const traffic = trafficOf(prepared.map(({ stats }) => stats));
    const phases = (['dispatch', 'combine'] as const).map((name) => ({ name, count: 1, bytes: traffic[name].bytes }));
    const echoBytes = FRAME_HEADER_BYTES + rowBytesOf(setting.dtype, options.registry, setting.hidden);
    const count = await pairsPerBlock(parties, phases, echoBytes, options);
    const timings = await interleave(parties, tasksOf(count, phases, echoBytes), options);
    const wireBytes = sum(phases.flatMap(({ bytes }) => bytes.flat()));
    return {
      ...setting,
      io_thread: options.ioThread,
      link_mbit: options.linkMbit ?? null,
      wire_bytes: wireBytes,
      ...figuresOf(timings, setting),
      pairs_per_block: count,
      blocks: timings.mesh.us.pair!.length,
    };
  } finally {
    await parties.close();
  }
}

function tasksOf(count: number, phases: readonly RawPhase[], echoBytes: number): Record<PartyName, Task> {
  const raw: Task = { kind: 'raw_pairs', count, phases, echoBytes };
  return { mesh: { kind: 'pairs', count }, naive: raw, tuned: raw };
}

/** V8 compiles what runs often. */
const PROBES = [3, 30];
const MAX_PAIRS = 2000;

/** As many pairs as a block has time for, whoever is slowest. */
async function pairsPerBlock(
  parties: Parties,
  phases: readonly RawPhase[],
  echoBytes: number,
  { maxSeconds }: DispatchOptions,
): Promise<number> {
  const once: Repeats = { iterations: 1, warmUp: 0, maxSeconds };
  let count = PROBES[0]!;
  for (const most of [...PROBES.slice(1), MAX_PAIRS]) {
    const { mesh, naive, tuned } = await interleave(parties, tasksOf(count, phases, echoBytes), once);
    const slowestUs = Math.max(...[mesh, naive, tuned].map(({ us }) => us.pair![0]!));
    count = Math.max(1, Math.min(most, Math.floor((1000 * TURN_MS) / slowestUs)));
  }
  return count;
}

function figuresOf(timings: Readonly<Record<PartyName, Timings>>, { transport }: Setting) {
  const [best, raw, tuned] = PARTIES.map((party) => Math.min(...timings[party].us.pair!)) as [number, number, number];
  const echo = Math.min(...timings.naive.us.echo!);
  return {
    pair_us: quantile(timings.mesh.us.pair!, 0.5),
    ...{ best_us: best, raw_us: raw, tuned_us: tuned, echo_us: echo },
    ...{ times_raw: best / raw, times_tuned: best / tuned, times_echo: best / echo },
    cpu_us: transport === 'threads' ? null : Math.min(...timings.mesh.us.pair_cpu!),
  };
}

const isPlain = ({ dtype, combineDtype }: Setting): boolean => dtype === 'f32' && combineDtype === 'f32';

const DIMENSIONS = ['ranks', 'tokens', 'hidden', 'topk', 'experts', 'skew', 'transport'] as const;

const isAlike = (a: Setting, b: Setting): boolean => DIMENSIONS.every((name) => a[name] === b[name]);
