/** The stopwatch of a rank that is slower than its machine: it takes time of its own for whatever the rank computes. */
import { STEP_PHASES, Stopwatch, type LapPlace, type OnLap, type StepPhase } from '../../compute/base/stopwatch.js';

/** How many times longer the rank takes; may change while it runs. */
export interface Burden {
  factor: number;
}

/** What a rank does by itself: of the others, most is waiting. */
export const WORK_PHASES: readonly StepPhase[] = STEP_PHASES.filter(
  (phase) => phase !== 'dispatch' && phase !== 'combine',
);

/** It computes nothing meanwhile, as beside another program on the same core, and nothing comes from its sockets. */
export class BurdenedStopwatch extends Stopwatch {
  private sinceMs = performance.now();

  constructor(
    private readonly burden: Burden,
    onLap?: OnLap,
  ) {
    super(onLap);
  }

  /** Time until the first lap counts from here. */
  override start(): void {
    super.start();
    this.sinceMs = performance.now();
  }

  /** Counts the time since the lap before for `phase`, and what it takes of its own. */
  override lap(phase: StepPhase, place?: LapPlace): void {
    const nowMs = performance.now();
    if (WORK_PHASES.includes(phase)) spinUntil(nowMs + (this.burden.factor - 1) * (nowMs - this.sinceMs));
    super.lap(phase, place);
    this.sinceMs = performance.now();
  }
}

function spinUntil(timeMs: number): void {
  while (performance.now() < timeMs);
}
