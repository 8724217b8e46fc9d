/** Where a step's time goes. Lap times add up to the whole, because every lap begins where the one before ended. */

/** In the order in which charts and tables show them. */
export const STEP_PHASES = [
  'attention',
  'gate',
  'replicas',
  'dispatch',
  'experts',
  'combine',
  'sampling',
  'other',
] as const;
/** `replicas`: choosing them, with `allgather` also waiting for the counts of peers; `dispatch` and `combine`: packing rows, waiting for peers and unpacking. */
export type StepPhase = (typeof STEP_PHASES)[number];

/** What a lap was for. */
export interface LapPlace {
  readonly layer?: number;
  readonly microBatch?: number;
}

/** Told of every lap, in ms of `performance.now()`. */
export type OnLap = (phase: StepPhase, place: LapPlace, startMs: number, endMs: number) => void;

/** Divides a step's time among its phases. One per rank; laps of different steps must not overlap. */
export class Stopwatch {
  private readonly onLap: OnLap | undefined;
  private lastMs = performance.now();
  private readonly spentMs = new Map<StepPhase, number>();

  constructor(onLap?: OnLap) {
    this.onLap = onLap;
  }

  /** Time until the first lap counts from here. Forgets laps that were not taken: those of an abandoned step. */
  start(): void {
    this.spentMs.clear();
    this.lastMs = performance.now();
  }

  /** Counts the time since the lap before for `phase`. */
  lap(phase: StepPhase, place: LapPlace = {}): void {
    const nowMs = performance.now();
    this.spentMs.set(phase, (this.spentMs.get(phase) ?? 0) + nowMs - this.lastMs);
    this.onLap?.(phase, place, this.lastMs, nowMs);
    this.lastMs = nowMs;
  }

  /** Milliseconds per phase since the last call; forgets them. */
  take(): Record<StepPhase, number> {
    const phases = STEP_PHASES.map((phase) => [phase, this.spentMs.get(phase) ?? 0] as const);
    this.spentMs.clear();
    return Object.fromEntries(phases) as Record<StepPhase, number>;
  }
}
