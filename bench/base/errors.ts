import { CodedError } from '../../base/coded_error.js';

/** Everything that ends a benchmark. */
export type BenchErrorCode =
  | 'PROCESS_DIED' // a process of the benchmark ended before it was told to
  | 'PEER_LOST' // a rank lost another one: what befell that one is nearer the cause
  | 'RANK_FAILED' // a rank couldn't do what it was told
  | 'NOT_ALL_FETCHED' // less came than there is
  | 'TOKENS_DIFFER' // a job under faults lost a request, or answered otherwise than without them
  | 'NOT_RECOVERED' // a job under faults was never whole again
  | 'NOT_MOVED' // sequences that were to move to another rank didn't
  | 'NOT_UNDERSTOOD'; // a process of the benchmark said what isn't its language

/** What can go wrong in a benchmark that runs; the message begins with the code. */
export class BenchError extends CodedError<BenchErrorCode> {}
