/** What of a decoding step ranks spend outside of it, waiting for the head. */
import { STEP_PHASES } from '../../compute/base/stopwatch.js';
import type { Engine, EngineStats } from '../../lib/head/engine.js';
import { median } from '../base/machine.js';
import { follow } from './followed.js';
import { sized, withEngine, type Bench, type FigureRow, type Measured } from './measurement.js';

const RANKS = [1, 4];
const NUM_TOKENS = 200;

/** A row for each number of ranks; one sequence decodes. */
export async function measureHead(bench: Bench): Promise<Measured> {
  const rows: FigureRow[] = [];
  for (const ranks of RANKS) rows.push(await withEngine(bench, { ranks }, (engine) => rowOf(bench, engine, ranks)));
  return {
    formula:
      'per step: wall time − time inside of the step, mean over the ranks (all phases, waiting for peers among them) = what ranks wait between two steps for the last result to reach the head, its work, and their next plan',
    baseline: 'the whole step of the same run: share = head / step; one sequence decodes, median of the rounds',
    rows,
  };
}

async function rowOf(bench: Bench, engine: Engine, ranks: number): Promise<FigureRow> {
  const rounds: { readonly step: number; readonly head: number }[] = [];
  for (let round = 0; round < bench.rounds; round++) rounds.push(await roundOf(bench, engine));
  const [step, head] = [median(rounds.map((each) => each.step)), median(rounds.map((each) => each.head))];
  return { ranks, step_ms: step, head_ms: head, share: median(rounds.map((each) => each.head / each.step)) };
}

async function roundOf(bench: Bench, engine: Engine): Promise<{ readonly step: number; readonly head: number }> {
  let first: EngineStats | null = null;
  let firstMs = 0;
  const asked = { promptTokenIds: [0], maxNewTokens: sized(bench, NUM_TOKENS, 32) };
  await follow(engine, asked, bench.signal, (numTokens) => {
    if (numTokens !== 1) return;
    first = engine.stats();
    firstMs = performance.now();
  });
  const wallMs = performance.now() - firstMs;
  const last = engine.stats();
  const numSteps = last.numSteps - first!.numSteps;
  const insideMs = STEP_PHASES.reduce((sum, phase) => sum + last.phasesMs[phase] - first!.phasesMs[phase], 0);
  return { step: wallMs / numSteps, head: (wallMs - insideMs) / numSteps };
}
