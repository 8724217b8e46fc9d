/** One run of all prompts on one engine. Suffixes: S steps, L MoE layers, E logical experts, R ranks. */
import type { RoutingObserver, StepRouting } from '../../experts/load/load_recorder.js';
import type { ExpertLoad } from '../../experts/placement/planners/planner.js';
import { STEP_PHASES, type StepPhase } from '../../compute/base/stopwatch.js';
import type { Engine, EngineStats } from '../../lib/head/engine.js';
import { parallelMs, rankCost } from './rank_costs.js';
import { promptsOf, type TrafficShape } from './traffic.js';

/** The prompts of a run, and how many tokens each sequence decodes. */
export interface RunShape extends TrafficShape {
  readonly newTokens: number;
}

/** What one run of all prompts took, and what it loaded the ranks with. */
export interface Run {
  readonly elapsedMs: number;
  /** Prompt tokens and new ones. */
  readonly numTokens: number;
  readonly load_LE: ExpertLoad;
  /** Σ over steps and layers of the busiest rank's rows. */
  readonly makespan: number;
  /** Were each rank on a machine of its own: from what each rank's work cost in this run. */
  readonly parallelMs: number;
  /** Mean over ranks. */
  readonly expertsMs: number;
  /** Per MoE layer and step, mean over ranks. */
  readonly chooseUs: number;
}

/** What each step loaded each rank with. */
export class RankLoads implements RoutingObserver {
  readonly wantsTokens = false;
  private load_SLR: (readonly Float64Array[])[] = [];

  /** Keeps a copy of the rows per layer and rank that one step brought. */
  add({ rankLoad_LR = [] }: StepRouting): Promise<void> {
    this.load_SLR.push(rankLoad_LR.map((load_R) => Float64Array.from(load_R)));
    return Promise.resolve();
  }

  /** Of the steps since the last call; forgets them. */
  take(): readonly (readonly Float64Array[])[] {
    const { load_SLR } = this;
    this.load_SLR = [];
    return load_SLR;
  }
}

/** @param observer what the engine was started with */
export async function runOnce(
  engine: Engine,
  observer: RankLoads,
  shape: RunShape,
  half: 0 | 1,
  signal: AbortSignal,
): Promise<Run> {
  const prompts = promptsOf(half, shape, engine.spec.vocabSize, engine.tokenizer);
  observer.take();
  const before = engine.stats();
  const startMs = performance.now();
  let numTokens = shape.numPrompts * shape.promptTokens;
  await Promise.all(
    prompts.map(async (promptTokenIds) => {
      const request = { promptTokenIds, maxNewTokens: shape.newTokens, ignoreEos: true };
      for await (const { kind } of engine.generate(request, signal)) if (kind === 'token') numTokens++;
    }),
  );
  const elapsedMs = performance.now() - startMs;
  return { elapsedMs, numTokens, ...figures(before, engine.stats(), observer.take()) };
}

function figures(
  before: EngineStats,
  after: EngineStats,
  load_SLR: readonly (readonly Float64Array[])[],
): Omit<Run, 'elapsedMs' | 'numTokens'> {
  const numSteps = load_SLR.length;
  const numLayers = after.expertLoad.length;
  const costs = after.rankPhasesMs.map((sums, rank) => {
    const numRows = load_SLR.flat().reduce((sum, load_R) => sum + load_R[rank]!, 0);
    return rankCost({ phasesMs: timeBetween(before.rankPhasesMs[rank]!, sums), numRows, numSteps });
  });
  const { experts, replicas } = timeBetween(before.phasesMs, after.phasesMs);
  return {
    load_LE: after.expertLoad.map((load_E, l) => load_E.map((load, e) => load - before.expertLoad[l]![e]!)),
    makespan: load_SLR.flat().reduce((sum, load_R) => sum + Math.max(...load_R), 0),
    parallelMs: parallelMs(load_SLR, costs),
    expertsMs: experts,
    chooseUs: (1000 * replicas) / numSteps / numLayers,
  };
}

type Phases = Readonly<Record<StepPhase, number>>;

const timeBetween = (before: Phases, after: Phases): Phases =>
  Object.fromEntries(STEP_PHASES.map((phase) => [phase, after[phase] - before[phase]])) as unknown as Phases;
