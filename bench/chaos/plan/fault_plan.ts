/** Which faults come in which order: the same for one seed. Pure. */
import { uniform } from '../../../base/philox.js';
import { FAULT_KINDS, takesRank, type Fault, type FaultCounts, type FaultKind, type Moment } from './fault.js';

/** What a plan is drawn from. */
export interface FaultPlanOptions {
  readonly seed: number;
  readonly counts: FaultCounts;
  /** Of the job when it begins. */
  readonly numRanks: number;
  /** Seats: no rank joins where all are taken. */
  readonly maxRanks: number;
  /** Ranks that are left at least, were each fault that may take one to take one. */
  readonly minRanks: number;
  /** When faults may come; each draws one of these. What can't be at its place comes `apart`. */
  readonly moments: readonly Moment[];
  /** Tokens before a fault, from half of it to one and a half. */
  readonly gapTokens: number;
  /** How long a rank is stopped, from a quarter of it to one and a quarter: some are lost, and some come back in time. */
  readonly stopMs: number;
  /** How long a rank is slow. */
  readonly slowMs: number;
}

/** Faults in their order; null where no order leaves so many ranks. */
export function faultPlan(options: FaultPlanOptions): readonly Fault[] | null {
  const left: Record<FaultKind, number> = { ...options.counts };
  const numFaults = FAULT_KINDS.reduce((sum, kind) => sum + left[kind], 0);
  const plan: Fault[] = [];
  let numRanks = options.numRanks;
  while (plan.length < numFaults) {
    const open = FAULT_KINDS.flatMap((kind) => (isPossible(kind, numRanks, options) ? repeated(kind, left[kind]) : []));
    const kind = chosen(open, drawOf(options.seed, plan.length, 0));
    if (kind === undefined) return null;
    left[kind]--;
    numRanks += kind === 'join' ? 1 : takesRank({ kind }) ? -1 : 0;
    plan.push(faultOf(kind, plan.at(-1), plan.length, options));
  }
  return plan;
}

const isPossible = (kind: FaultKind, numRanks: number, { minRanks, maxRanks }: FaultPlanOptions): boolean =>
  kind === 'join' ? numRanks < maxRanks : !takesRank({ kind }) || numRanks > minRanks;

function faultOf(kind: FaultKind, before: Fault | undefined, i: number, options: FaultPlanOptions): Fault {
  const { seed, moments, gapTokens, stopMs, slowMs } = options;
  const draw = (what: number): number => drawOf(seed, i, what);
  const when = chosen(moments, draw(1)) ?? 'apart';
  return {
    kind,
    when: canBe(when, before) ? when : 'apart',
    gapTokens: Math.round(gapTokens * (0.5 + draw(2))),
    ms: Math.round(kind === 'stop' ? stopMs * (0.25 + draw(3)) : slowMs),
    draws: [draw(4), draw(5)],
  };
}

function canBe(when: Moment, before: Fault | undefined): boolean {
  if (when === 'apart' || when === 'moving') return true;
  if (before === undefined) return false;
  if (when === 'joining') return before.kind === 'join' || before.kind === 'abort';
  return when === 'together' || takesRank(before);
}

const drawOf = (seed: number, i: number, what: number): number => uniform(seed, i, what);

const chosen = <T>(of: readonly T[], draw: number): T | undefined => of[Math.floor(draw * of.length)];

const repeated = <T>(value: T, times: number): T[] => Array.from({ length: times }, () => value);
