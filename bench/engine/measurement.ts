/** What each measurement of `bench engine` is given, and what it gives. */
import type { ExpertwireConfig } from '../../lib/config/schema.js';
import { loadConfig } from '../../lib/config/load.js';
import { Engine } from '../../lib/head/engine.js';
import { closing } from '../../lib/commands/base/closing.js';
import { median } from '../base/machine.js';
import { PromptSource } from './asked.js';
import { follow } from './followed.js';

/** One line of figures, by name: what the table shows and `--json` has. */
export type FigureRow = Readonly<Record<string, number>>;

/** What came of a measurement. */
export interface Measured {
  readonly formula: string;
  /** What the figures are compared with, in the same run. */
  readonly baseline: string;
  readonly rows: readonly FigureRow[];
}

/** What all measurements share. */
export interface Bench {
  readonly model: string;
  /** A folder with random weights in the model's shape and room for long prompts. */
  readonly longModel: string;
  readonly ranks: number;
  readonly rounds: number;
  readonly seed: number;
  /** Requests and tokens are this much of what they usually are: for trials. */
  readonly size: number;
  readonly set: readonly string[];
  readonly signal: AbortSignal;
}

/** Starts an engine, warms it up, and closes it whatever `use` does. */
export async function withEngine<T>(
  bench: Bench,
  { model = bench.model, ranks = bench.ranks, set = [] }: { model?: string; ranks?: number; set?: readonly string[] },
  use: (engine: Engine, prompts: PromptSource) => Promise<T>,
): Promise<T> {
  const config = await configOf(bench, model, ranks, set);
  const engine = await Engine.start({ config, signal: bench.signal });
  return closing(
    () => engine.close(),
    async () => {
      const prompts = new PromptSource(bench.seed, engine.spec.vocabSize);
      await warmUp(engine, prompts, bench.signal);
      return use(engine, prompts);
    },
  );
}

/** A benchmark's own keys, and over them what its caller sets. */
export const configOf = (
  bench: Bench,
  model: string,
  ranks: number,
  set: readonly string[],
): Promise<ExpertwireConfig> =>
  loadConfig({ flags: { model, parallel: { ranks } }, overrides: [...set, ...bench.set] });

/** V8 compiles a rank's hot loops over the first hundred steps or so. */
const WARM_UP_TOKENS = 200;

async function warmUp(engine: Engine, prompts: PromptSource, signal: AbortSignal): Promise<void> {
  const maxNewTokens = Math.min(WARM_UP_TOKENS, engine.limits.maxModelLen - 32);
  await follow(engine, { promptTokenIds: prompts.next(32), maxNewTokens }, signal);
}

/** `count` of the usual size, at least `least`. */
export const sized = ({ size }: Bench, count: number, least = 1): number => Math.max(least, Math.round(count * size));

/** The median of a ratio that each round has of itself. */
export const medianRatio = (over: readonly number[], under: readonly number[]): number =>
  median(over.map((value, round) => value / under[round]!));
