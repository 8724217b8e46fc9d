import { CodedError } from '../../base/coded_error.js';

/** Everything that can go wrong with a pool of KV blocks; the message begins with the code and ends with what to do. */
export type KvPoolErrorCode =
  | 'INVALID_ARGUMENT' // sizes, tokens, bytes or blocks that can't be
  | 'OUT_OF_BLOCKS' // all blocks are held
  | 'NOT_LISTENING' // a transfer needs a pool that others can reach
  | 'REFUSED' // the other pool doesn't take the blocks
  | 'TRANSFER_FAILED' // the other pool couldn't be reached, or blocks didn't get there whole
  | 'CLOSED'; // the pool was closed

/** The only error class that lib/kv_pool throws. */
export class KvPoolError extends CodedError<KvPoolErrorCode> {}
