/** Whether blocks are brought from elsewhere or their tokens computed: what was measured of both says what is cheaper. Pure. Why: docs/decisions/kv_store.md#brought-or-computed */
import { LinearFit } from './linear_fit.js';

/** Where blocks come from: tiers of the same rank, another rank, another instance. */
export const BLOCK_ORIGINS = ['ram', 'disk', 'rank', 'instance'] as const;
/** One of {@link BLOCK_ORIGINS}. */
export type BlockOrigin = (typeof BLOCK_ORIGINS)[number];

/** How many from where, in one go; nothing is from two of the groups below. */
export type BlockNumbers = Readonly<Partial<Record<BlockOrigin, number>>>;

/** Tokens that follow each other and would be computed, in terms of a sequence. */
export interface ComputedTokens {
  readonly numTokens: number;
  /** Of the first of them. */
  readonly position: number;
  /** That are computed behind them in any case: at least one. */
  readonly numBehind: number;
}

/** Blocks that come in one go, and tokens that needn't be computed then. */
export interface BroughtTokens {
  readonly blocks: BlockNumbers;
  readonly numTokens: number;
}

/** Work of one rank in a step. */
export interface StepWork {
  readonly numTokens: number;
  /** Tokens that attention reads: for each token those before it. */
  readonly numReads: number;
}

/** What comes in one go, and is paid for once. */
const GROUPS: readonly (readonly BlockOrigin[])[] = [['ram', 'disk'], ['rank'], ['instance']];
/** Before so many were measured nothing is known. */
const MIN_BROUGHT = 3;
const MIN_STEPS = 8;
/** Machines have other things to do at times. */
const PATIENCE = 8;
const PATIENCE_MS = 2000;
/** So often what is dearer is done all the same: it may have become cheaper, and nobody would see it. */
const REFUSALS_PER_TRIAL = 32;

/** What one engine measured. */
export class KvCosts {
  private readonly bringing = GROUPS.map((origins) => new LinearFit(1 + origins.length));
  private readonly computing = new LinearFit(3);
  private readonly numRefused = GROUPS.map(() => 0);

  /** @param maxStepTokens that a rank computes in one step at most */
  constructor(private readonly maxStepTokens: number) {}

  /** Blocks came, and took so long from the order to the report. */
  brought(blocks: BlockNumbers, ms: number): void {
    const group = groupOf(blocks);
    if (group >= 0 && ms > 0) this.bringing[group]!.add(amountsOf(group, blocks), ms);
  }

  /** A step took so long; `work`: of the rank that had most to do. */
  computed({ numTokens, numReads }: StepWork, ms: number): void {
    if (numTokens > 0 && ms > 0) this.computing.add([1, numTokens, numReads], ms);
  }

  /** What it takes; null: too little was measured. */
  bringMs(blocks: BlockNumbers): number | null {
    const group = groupOf(blocks);
    const fit = this.bringing[group];
    return fit === undefined || fit.numSamples < MIN_BROUGHT ? null : fit.msOf(amountsOf(group, blocks));
  }

  /** How long they are waited for: much longer than it took others, `mostMs` where too little was measured. */
  patienceMs(blocks: BlockNumbers, mostMs: number): number {
    const bringMs = this.bringMs(blocks);
    return bringMs === null ? mostMs : Math.min(mostMs, PATIENCE_MS + PATIENCE * bringMs);
  }

  /** What computing these takes more than computing what is behind them alone; null: too little was measured. */
  computeMs({ numTokens, position, numBehind }: ComputedTokens): number | null {
    if (this.computing.numSamples < MIN_STEPS) return null;
    const stepsFor = (tokens: number): number => Math.ceil(tokens / this.maxStepTokens);
    const numSteps = stepsFor(numTokens + numBehind) - stepsFor(numBehind);
    return this.computing.msOf([numSteps, numTokens, readsOf(position, numTokens)]);
  }

  /**
   * How many of these, which follow each other from `position` on, are brought: the first so many, and all behind them is computed. What isn't known is tried; what was
   * dearer is, now and then: to be asked once of each request.
   */
  numWorth(parts: readonly BroughtTokens[], position: number, numBehind: number): number {
    const best = this.numCheaper(parts, position, numBehind);
    return best < parts.length && this.isTried(parts[best]!.blocks) ? parts.length : best;
  }

  /** As {@link numWorth}, without tries of what was dearer. */
  numCheaper(parts: readonly BroughtTokens[], position: number, numBehind: number): number {
    const bringMs = parts.map(({ blocks }) => this.bringMs(blocks));
    let left = parts.reduce((sum, { numTokens }) => sum + numTokens, 0);
    let [best, bestMs, broughtMs] = [0, this.computeMs({ numTokens: left, position, numBehind }), 0];
    if (bestMs === null || bringMs.includes(null)) return parts.length;
    for (const [i, { numTokens }] of parts.entries()) {
      broughtMs += bringMs[i]!;
      left -= numTokens;
      const start = position + parts.slice(0, i + 1).reduce((sum, each) => sum + each.numTokens, 0);
      const ms = broughtMs + this.computeMs({ numTokens: left, position: start, numBehind })!;
      if (ms <= bestMs) [best, bestMs] = [i + 1, ms];
    }
    return best;
  }

  private isTried(blocks: BlockNumbers): boolean {
    const group = groupOf(blocks);
    this.numRefused[group] = (this.numRefused[group]! + 1) % REFUSALS_PER_TRIAL;
    return this.numRefused[group] === 0;
  }
}

/** For each of these tokens those before it. */
export const readsOf = (position: number, numTokens: number): number => numTokens * (position + numTokens / 2);

const groupOf = (blocks: BlockNumbers): number =>
  GROUPS.findIndex((origins) => origins.some((origin) => (blocks[origin] ?? 0) > 0));

const amountsOf = (group: number, blocks: BlockNumbers): number[] => [
  1,
  ...GROUPS[group]!.map((origin) => blocks[origin] ?? 0),
];
