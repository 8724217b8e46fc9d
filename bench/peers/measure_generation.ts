/**
 * Prefill and decoding of every engine on the same prompts and cores, in turns.
 * Why: docs/decisions/measuring.md#peers-are-measured-in-turns-on-the-same-cores-and-must-compute-the-same
 */
import { closing } from '../../lib/commands/base/closing.js';
import { PromptSource } from '../engine/asked.js';
import type { Dtype, EngineRun, PeerEngine } from './engines/engine.js';
import { LineProcess } from './engines/line_process.js';
import { bestOf, numAlike, pairedRatio, relativeError, spreadOf, type Ratio, type Spread } from './ratios.js';

/** What is done, in which the engines take turns. */
export type Phase =
  | { readonly kind: 'prefill'; readonly tokens: number }
  | { readonly kind: 'decode'; readonly batch: number; readonly steps: number };

/** What is the same for all dtypes and cores. */
export interface GenerationPlan {
  readonly phases: readonly Phase[];
  /** Tokens of each prompt that decoding goes on from. */
  readonly context: number;
  readonly rounds: number;
  readonly seed: number;
  readonly vocabSize: number;
}

/** One engine in one phase. */
export interface EngineFigures {
  readonly tokens_per_s: Spread;
  /** Ours over this one's in tokens per second; of ours 1. */
  readonly ratio: Ratio;
  /** Of the memory bandwidth measured in the same round, by the weights of a token; null where several sequences share them. */
  readonly bandwidth_share: Spread | null;
}

/** One phase on so many cores. */
export interface GenerationRow {
  readonly dtype: Dtype;
  readonly cores: number;
  readonly phase: 'prefill' | 'decode';
  /** Sequences. */
  readonly batch: number;
  readonly engines: Readonly<Record<string, EngineFigures>>;
}

/** Whether a peer computes the same model. */
export interface Agreement {
  readonly dtype: Dtype;
  readonly peer: string;
  /** ‖ours − theirs‖ / ‖theirs‖ of the logits after the prompt; null where it doesn't tell them. */
  readonly logits_error: number | null;
  readonly is_same_best: boolean | null;
  /** Tokens that both decode alike, and of how many. */
  readonly tokens_alike: number;
  readonly tokens: number;
}

/** Everything of one dtype on so many cores. */
export interface Measured {
  readonly rows: readonly GenerationRow[];
  readonly agreements: readonly Agreement[];
  readonly read_gb_per_s: Spread;
}

/** Runs before the rounds: V8 compiles hot loops, caches fill. A batch, which takes longer, has the loops of those before it. */
const warmUpsOf = (phase: Phase): number => (batchOf(phase) === 1 ? 3 : 1);
/** Reads of a round, of which the fastest counts. */
const READS = 3;

/** The first engine is ours. Engines and the stream stay open. */
export async function measureGeneration(
  engines: readonly PeerEngine[],
  stream: LineProcess,
  { dtype, cores, weightBytes }: { readonly dtype: Dtype; readonly cores: number; readonly weightBytes: number },
  plan: GenerationPlan,
  signal: AbortSignal,
): Promise<Measured> {
  const prompts = new PromptSource(plan.seed, plan.vocabSize);
  const contexts = Array.from({ length: Math.max(...plan.phases.map(batchOf)) }, () => prompts.next(plan.context));
  const run = (engine: PeerEngine, phase: Phase, ids: readonly number[]): Promise<EngineRun> =>
    phase.kind === 'prefill' ? engine.prefill(ids) : engine.decode(contexts.slice(0, phase.batch), phase.steps);
  const agreements = await agreementsOf(engines, dtype, contexts[0]!);
  for (const phase of plan.phases) {
    for (let i = 0; i < warmUpsOf(phase); i++) {
      const ids = idsOf(phase, prompts);
      for (const engine of engines) await run(engine, phase, ids);
    }
  }
  const times = plan.phases.map(() => new Map(engines.map(({ name }) => [name, [] as number[]])));
  const bandwidths: number[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const order = round % 2 === 0 ? engines : engines.toReversed();
    bandwidths.push(await readBandwidth(stream));
    for (const [i, phase] of plan.phases.entries()) {
      const ids = idsOf(phase, prompts);
      for (const engine of order) {
        signal.throwIfAborted();
        const { ms } = await run(engine, phase, ids);
        times[i]!.get(engine.name)!.push(ms / 1000 / tokensOf(phase));
      }
    }
  }
  const rows = plan.phases.map((phase, i) => ({
    ...{ dtype, cores, phase: phase.kind, batch: batchOf(phase) },
    engines: figuresOf(times[i]!, phase, weightBytes, bandwidths),
  }));
  return { rows, agreements, read_gb_per_s: spreadOf(bandwidths.map((bytes) => bytes / 1e9)) };
}

const batchOf = (phase: Phase): number => (phase.kind === 'prefill' ? 1 : phase.batch);
const tokensOf = (phase: Phase): number => (phase.kind === 'prefill' ? phase.tokens : phase.batch * phase.steps);
/** A prompt that nobody has seen, where it is to be computed. */
const idsOf = (phase: Phase, prompts: PromptSource): readonly number[] =>
  phase.kind === 'prefill' ? prompts.next(phase.tokens) : [];

/** Seconds per token by engine, ours first. */
function figuresOf(
  times: ReadonlyMap<string, readonly number[]>,
  phase: Phase,
  weightBytes: number,
  bandwidths: readonly number[],
): Record<string, EngineFigures> {
  const [ours] = times.values();
  const isShareable = phase.kind === 'decode' && phase.batch === 1;
  const shares = (seconds: readonly number[]): Spread =>
    spreadOf(seconds.map((each, round) => weightBytes / each / bandwidths[round]!));
  return Object.fromEntries(
    Array.from(times, ([name, seconds]) => [
      name,
      {
        tokens_per_s: spreadOf(seconds.map((each) => 1 / each)),
        ratio: pairedRatio(seconds, ours!),
        bandwidth_share: isShareable ? shares(seconds) : null,
      },
    ]),
  );
}

/** Bytes per second. */
async function readBandwidth(stream: LineProcess): Promise<number> {
  let best = 0;
  for (let i = 0; i < READS; i++) {
    const { ms, bytes } = (await stream.ask({ op: 'read' })) as { readonly ms: number; readonly bytes: number };
    best = Math.max(best, (1000 * bytes) / ms);
  }
  return best;
}

const NUM_COMPARED = 32;

async function agreementsOf(
  [ours, ...peers]: readonly PeerEngine[],
  dtype: Dtype,
  ids: readonly number[],
): Promise<Agreement[]> {
  const told = await ours!.logits(ids);
  const { tokens: own } = await ours!.decode([ids], NUM_COMPARED);
  const agreements: Agreement[] = [];
  for (const peer of peers) {
    const theirs = await peer.logits(ids);
    const { tokens } = await peer.decode([ids], NUM_COMPARED);
    agreements.push({
      ...{ dtype, peer: peer.name },
      logits_error: theirs === null ? null : relativeError(told!, theirs),
      is_same_best: theirs === null ? null : bestOf(told!) === bestOf(theirs),
      tokens_alike: tokens.length === 0 ? 0 : numAlike(own[0]!, tokens[0]!),
      tokens: tokens.length === 0 ? 0 : own[0]!.length,
    });
  }
  return agreements;
}

/** Opens what `starters` start, one after the other, and closes them whatever `use` does. */
export async function withAll<C extends { close(): Promise<void> }, T>(
  starters: readonly (() => Promise<C>)[],
  use: (opened: readonly C[]) => Promise<T>,
): Promise<T> {
  const opened: C[] = [];
  return closing(
    async () => {
      await Promise.all(opened.map((each) => each.close()));
    },
    async () => {
      for (const start of starters) opened.push(await start());
      return use(opened);
    },
  );
}
