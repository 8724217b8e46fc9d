/** All faults of a plan, each at its moment, on a job that answers requests meanwhile. */
import type { Load } from './load/load.js';
import { isWhole } from './held.js';
import { inflict, type Inflicted } from './inflict.js';
import type { Fault } from './plan/fault.js';
import type { Site } from './site.js';
import type { Sample } from './watch.js';

/** How long is waited for what. */
export interface Patience {
  /** For a loss to be noticed. */
  readonly lossMs: number;
  /** For the job to have everything again that it had. */
  readonly recoverMs: number;
}

/** A fault, and what became of it. */
export interface Befallen extends Omit<Inflicted, 'over'> {
  /** How the job stood when it had recovered from it and those that came with it. */
  readonly end: Sample;
  /** Everything was there again then. */
  readonly isRecovered: boolean;
  /** What there is to say: why it came to nothing. */
  readonly note: string | null;
}

/** How long is waited until experts move. */
const MOVING_MS = 3000;
/** A step or two that run with everything in place. */
const STEPS_AFTER = 2;

/** Stops early where the job is over: requests tell why. */
export async function runFaults(
  plan: readonly Fault[],
  site: Site,
  load: Load,
  patience: Patience,
  signal: AbortSignal,
): Promise<readonly Befallen[]> {
  const befallen: Befallen[] = [];
  let group: Inflicted[] = [];
  for (const fault of plan) {
    if (fault.when === 'apart' || fault.when === 'moving') {
      befallen.push(...(await recovered(group, site, patience, signal)));
      group = [];
      await load.tokens(fault.gapTokens);
    }
    if (site.engine.failure !== null || signal.aborted) break;
    await momentOf(fault, group.at(-1), site, patience, signal);
    group.push(inflict(fault, site, patience.lossMs, signal));
  }
  befallen.push(...(await recovered(group, site, patience, signal)));
  return befallen;
}

/** Comes at once where its moment doesn't come: what it waits for may be over. */
async function momentOf(
  { when, draws }: Fault,
  before: Inflicted | undefined,
  { watch }: Site,
  patience: Patience,
  signal: AbortSignal,
): Promise<void> {
  switch (when) {
    case 'apart':
    case 'together':
      return;
    case 'moving':
      await watch.until(() => watch.isMoving, MOVING_MS, signal);
      return;
    case 'recovering': {
      const isHeard = (): boolean => (watch.losses.at(-1)?.atMs ?? 0) >= before!.start.atMs;
      await watch.until(isHeard, patience.lossMs, signal);
      return;
    }
    case 'joining':
      // A rank takes some hundred milliseconds to start and to load.
      await watch.until(() => false, 1000 * draws[1], signal);
  }
}

/** When all that came together is over, and the job has what it had. */
async function recovered(
  group: readonly Inflicted[],
  { watch, engine }: Site,
  { recoverMs }: Patience,
  signal: AbortSignal,
): Promise<Befallen[]> {
  if (group.length === 0) return [];
  const first = watch.samples[0]!;
  const notes = await Promise.all(group.map(({ over }) => over));
  let numSteps = 0;
  const isRecovered = await watch.until(
    () => engine.failure !== null || (isWhole(watch.now(), first) && !watch.isSpreading && ++numSteps > STEPS_AFTER),
    recoverMs,
    signal,
  );
  const end = watch.now();
  return group.map(({ fault, victims, start }, i) => ({
    ...{ fault, victims, start, end },
    isRecovered: isRecovered && engine.failure === null,
    note: notes[i] ?? null,
  }));
}
