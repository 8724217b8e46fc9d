import { CodedError } from '../../base/coded_error.js';

/** Everything that can go wrong around a request or a job; the message begins with the code and ends with what to do. */
export type EngineErrorCode =
  | 'INVALID_REQUEST' // a request that can't run: empty prompt, impossible sampling parameters
  | 'CONTEXT_LENGTH_EXCEEDED' // more tokens than the model or the cache has positions for
  | 'QUEUE_FULL' // as many requests wait as may
  | 'NOT_MOVABLE' // no request that another instance may go on with
  | 'LEASE_OVER' // an offer of a request ended
  | 'RANKS_DIFFER' // ranks that can't work together
  | 'RANK_LOST' // a rank's process ended
  | 'RANK_FAILED' // a rank reported an error
  | 'TIMEOUT' // a rank did not finish its step in time
  | 'HEAD_LOST' // a rank lost its head
  | 'NO_TOKENIZER' // text was given, and the model folder has no tokenizer
  | 'HOOK_FAILED' // a hook threw what it was told of a request
  | 'NOT_FINITE' // the model computed NaN or infinity
  | 'NO_ROOM' // the ranks that are left have no memory for experts of lost ones
  | 'EXPERTS_LOST' // the ranks that are left can't read experts of lost ones
  | 'REBALANCE_FAILED' // experts could not be moved; the placement is what it was
  | 'SCALE_FAILED' // the job has another number of ranks than it was to have, and goes on with them
  | 'SOURCE_LOST' // a request that was to go on here, and what came of it before isn't known
  | 'CLOSED'; // the engine was closed

/** The only error class that the engine and its ranks throw. */
export class EngineError extends CodedError<EngineErrorCode> {
  /** The rank that it is about, and whose doing it is. */
  readonly rank: number | undefined;

  constructor(
    code: EngineErrorCode,
    text: string,
    { rank, cause }: { readonly rank?: number; readonly cause?: unknown } = {},
  ) {
    super(code, text, { blames: rank === undefined ? [] : [rank], cause });
    this.rank = rank;
  }
}
