import { CodedError } from '../../../base/coded_error.js';

/** What kept a load from being measured at all; requests that fail while it runs are figures. */
export type ServeBenchErrorCode =
  | 'NO_SERVER' // nobody answers at the address, or not as a server of this API does
  | 'PROBE_FAILED' // the first request, before anything is measured
  | 'BAD_DATASET' // a file that can't be read, or holds something else
  | 'NO_TOKEN_IDS' // an answer without them, which the next turn's prompt needs
  | 'CLIENT_FAILED'; // the client process of `bench engine`

/** A failure of `bench serve`. */
export class ServeBenchError extends CodedError<ServeBenchErrorCode> {}
