/** How rows get from their source to their experts and back: what the normal mode leaves to a flat or hierarchical way. */
import type { DegradedTokens } from './degraded.js';
import type { FloatRows } from '../../../base/float_rows.js';
import type { Call } from '../exchange/round.js';
import type { PayloadShape } from './payload.js';
import type { Pending } from './all_to_all_contract.js';

/** Where the tokens of one rank go: T tokens, K choices. */
export interface Routing {
  readonly numTokens: number;
  /** [T·K] physical experts, −1 = none or masked. */
  readonly topkIdx: Int32Array;
  /** [T·K] */
  readonly topkWeights: Float32Array;
}

/** What all calls of one all-to-all share. */
export interface RouteShape extends PayloadShape {
  readonly ranksPerNode: number;
}

/** The rows of one source that this rank's experts take; n rows, K choices. */
export interface ArrivedRows {
  readonly numRows: number;
  /** [n·K] local slots, −1 elsewhere. */
  readonly slots: ArrayLike<number>;
  /** [n·K]; empty with `reduce: 'source'`. */
  readonly weights: Float32Array;
  /** Writes the rows, decoded, to those of `target` from row `rowStart` on. */
  copyTo(target: FloatRows, rowStart: number): void;
  /** Idempotent: gives the frame's memory back; then nothing is copied any more. */
  readonly release?: (() => void) | undefined;
}

/** By source rank; undefined where a masked rank sent none. */
export type ArrivedBySource = readonly (ArrivedRows | undefined)[];

/** What arrived, and what the route must remember for the way back and for cached dispatches. */
export interface Arrived<State> {
  readonly bySource: ArrivedBySource;
  readonly state: State;
}

/** An earlier dispatch whose way is taken again. */
export interface CachedRoute<State> {
  readonly state: State;
  readonly bySource: readonly (Pick<ArrivedRows, 'numRows' | 'slots' | 'weights'> | undefined)[];
}

/** What the experts of this rank computed. */
export interface ExpertRows {
  /** By source rank: [n] rows or [m] choices, or undefined as in `ArrivedBySource`. */
  readonly bySource: readonly (FloatRows | undefined)[];
  /** The rows are of an array that doesn't change any more where they travel as float32, and may change at once otherwise. Else they stay until the end. */
  readonly isArray: boolean;
  /** By source rank: the tokens that they stand for. */
  readonly numTokens: readonly number[];
}

/** What a combine has to know of its dispatch. */
export interface DispatchedRows<State> {
  readonly routing: Routing;
  readonly state: State;
  readonly degraded: DegradedTokens;
}

/** One way for the rows; `State` is what it remembers between a dispatch and its combine. */
export interface Route<State> {
  /**
   * Sends the rows of `x` [T·H] now, except the own ones: `x` must not change until they were copied. `isLent`: nor until the combine is over, so that
   * rows can leave from where they are.
   */
  startDispatch(
    call: Call,
    x: FloatRows,
    routing: Routing,
    cached: CachedRoute<State> | undefined,
    isLent: boolean,
  ): Pending<Arrived<State>>;
  /** Sends the experts' rows home now; writes the first T rows of y and marks tokens whose rows a masked rank kept. */
  startCombine(call: Call, rows: ExpertRows, dispatched: DispatchedRows<State>, y: FloatRows): Pending<void>;
}
