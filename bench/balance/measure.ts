/** Every variant on an engine of its own, one after the other, with the same prompts. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rankLoads } from '../../experts/balance.js';
import { createPlacement, type Placement } from '../../experts/placement.js';
import { placementToJson } from '../../experts/placement_json.js';
import { createPlanner } from '../../experts/planners/index.js';
import type { ExpertLoad } from '../../experts/planners/planner.js';
import type { ReplicaChoice } from '../../experts/replica_choice.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/engine/engine.js';
import type { EngineStats } from '../../lib/engine/stats.js';
import { median } from '../machine.js';
import { promptsOf, type TrafficShape } from './traffic.js';

export interface BalanceOptions extends TrafficShape {
  readonly model: string;
  readonly ranks: number;
  /** Default: experts + a quarter, rounded down to a multiple of the ranks, as `eplb` needs it. */
  readonly numSlots: number | undefined;
  readonly newTokens: number;
  readonly choices: readonly ReplicaChoice[];
  readonly repeats: number;
  readonly set: readonly string[];
}

const PLANNED = ['eplb', 'eplb_stable'] as const;

/** Figures of one placement and choice; medians over the repeats. */
export interface BalanceRow {
  readonly placement: 'off' | (typeof PLANNED)[number];
  readonly choice: ReplicaChoice;
  /** Σ over layers of mean / max rank load, were the whole run one batch. */
  readonly predicted_balancedness: number;
  /** The same of what ranks computed, with the maximum of each step. */
  readonly measured_balancedness: number;
  /** Makespan of `off` / this one's. */
  readonly predicted_gain: number;
  readonly measured_gain: number;
  /** Prompt tokens and new ones. */
  readonly tokens_per_s: number;
  /** Against `off`. */
  readonly speed: number;
  /** Mean over ranks. */
  readonly experts_ms: number;
  /** Per MoE layer and step, mean over ranks. */
  readonly choose_us: number;
}

interface Variant {
  readonly placement: BalanceRow['placement'];
  readonly choice: ReplicaChoice;
}

interface Measured {
  readonly elapsedMs: number;
  /** Prompt tokens and new ones, of one run. */
  readonly numTokens: number;
  /** Of one run. */
  readonly load_LE: ExpertLoad;
  readonly makespan: number;
  readonly expertsMs: number;
  readonly chooseUs: number;
}

export async function measureAll(
  options: BalanceOptions,
  signal: AbortSignal,
): Promise<{ readonly numSlots: number; readonly rows: readonly BalanceRow[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'expertwire-balance-'));
  try {
    const first = await withEngine(options, [], signal, async (engine) => {
      const planned = await runOnce(engine, options, 0, signal);
      const off = await measure(engine, options, signal);
      return { plannedFrom: planned.load_LE, off, current: engine.placement };
    });
    const { off, current } = first;
    const numSlots = options.numSlots ?? defaultSlots(current.numExperts, options.ranks);
    const makespanOff = makespanOf(off.load_LE, linear(current), 'round_robin');
    const rowOf = (variant: Variant, placement: Placement, measured: Measured): BalanceRow => {
      const predicted = makespanOf(off.load_LE, placement, variant.choice);
      const mean = off.load_LE.flatMap((load_E) => [...Array.from(load_E)]).reduce((a, b) => a + b, 0) / options.ranks;
      return {
        ...variant,
        predicted_balancedness: mean / predicted,
        measured_balancedness: mean / measured.makespan,
        predicted_gain: makespanOff / predicted,
        measured_gain: off.makespan / measured.makespan,
        tokens_per_s: (1000 * measured.numTokens) / measured.elapsedMs,
        speed: off.elapsedMs / measured.elapsedMs,
        experts_ms: measured.expertsMs,
        choose_us: measured.chooseUs,
      };
    };
    const rows = [rowOf({ placement: 'off', choice: options.choices[0]! }, linear(current), off)];
    for (const planner of PLANNED) {
      const topology = { numRanks: options.ranks, numSlots };
      const { placement } = createPlanner(planner).plan(first.plannedFrom, topology, current);
      const file = join(folder, `${planner}.json`);
      await writeFile(file, JSON.stringify(placementToJson(placement)));
      for (const choice of options.choices) {
        const set = [`experts.placement=${file}`, `experts.replica_choice=${choice}`];
        const measured = await withEngine(options, set, signal, (engine) => measure(engine, options, signal));
        rows.push(rowOf({ placement: planner, choice }, placement, measured));
      }
    }
    return { numSlots, rows };
  } finally {
    await rm(folder, { recursive: true });
  }
}

const defaultSlots = (numExperts: number, numRanks: number): number =>
  Math.max(Math.floor((1.25 * numExperts) / numRanks), Math.ceil(numExperts / numRanks)) * numRanks;

const linear = ({ numExperts, numRanks, phy2log }: Placement): Placement =>
  createPlacement('linear', { numLayers: phy2log.length, numExperts, numRanks });

/** Σ over layers of the highest rank load. */
function makespanOf(load_LE: ExpertLoad, placement: Placement, choice: ReplicaChoice): number {
  const split = choice === 'balanced' || choice === 'allgather' ? 'balanced' : 'even';
  return load_LE.reduce((sum, load_E, layer) => sum + Math.max(...rankLoads(load_E, placement, layer, split)), 0);
}

async function withEngine<T>(
  { model, ranks, set }: BalanceOptions,
  more: readonly string[],
  signal: AbortSignal,
  use: (engine: Engine) => Promise<T>,
): Promise<T> {
  const config = await loadConfig({ base: { model, parallel: { ranks } }, overrides: [...set, ...more] });
  const engine = await Engine.start({ config, signal });
  try {
    return await use(engine);
  } finally {
    await engine.close();
  }
}

/** The second half of the traffic, after two runs to warm up. */
async function measure(engine: Engine, options: BalanceOptions, signal: AbortSignal): Promise<Measured> {
  for (let i = 0; i < 2; i++) await runOnce(engine, options, 1, signal);
  const runs: Measured[] = [];
  for (let i = 0; i < options.repeats; i++) runs.push(await runOnce(engine, options, 1, signal));
  const of = (key: 'elapsedMs' | 'makespan' | 'expertsMs' | 'chooseUs'): number => median(runs.map((run) => run[key]));
  return {
    ...{ load_LE: runs[0]!.load_LE, numTokens: runs[0]!.numTokens },
    ...{ elapsedMs: of('elapsedMs'), makespan: of('makespan'), expertsMs: of('expertsMs'), chooseUs: of('chooseUs') },
  };
}

async function runOnce(engine: Engine, options: BalanceOptions, half: 0 | 1, signal: AbortSignal): Promise<Measured> {
  const before = engine.stats();
  const startMs = performance.now();
  let numTokens = options.numPrompts * options.promptTokens;
  await Promise.all(
    promptsOf(half, options, engine.spec.vocabSize, engine.tokenizer).map(async (promptTokenIds) => {
      const request = { promptTokenIds, maxNewTokens: options.newTokens, ignoreEos: true };
      for await (const { kind } of engine.generate(request, signal)) if (kind === 'token') numTokens++;
    }),
  );
  const elapsedMs = performance.now() - startMs;
  const after = engine.stats();
  const load_LE = after.expertLoad.map((load_E, layer) =>
    load_E.map((load, e) => load - before.expertLoad[layer]![e]!),
  );
  const sum = ({ makespan }: EngineStats): number => makespan.reduce((a, b) => a + b, 0);
  const numSteps = after.numSteps - before.numSteps;
  return {
    ...{ elapsedMs, numTokens, load_LE },
    makespan: sum(after) - sum(before),
    expertsMs: after.phasesMs.experts - before.phasesMs.experts,
    chooseUs: (1000 * (after.phasesMs.replicas - before.phasesMs.replicas)) / numSteps / load_LE.length,
  };
}
