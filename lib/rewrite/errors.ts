import { CodedError } from '../../base/coded_error.js';

/** Why a checkpoint can't be rewritten as asked; the message begins with the code and ends with what to do. */
export type RewriteErrorCode =
  | 'ALREADY_QUANTISED' // its weights are codes, and nobody said that they may be decoded
  | 'UNSUITABLE' // its shapes or its family don't allow it
  | 'NOTHING_TO_DO' // nothing of it would change
  | 'NOT_FINITE'; // a weight is NaN, infinite, or larger than codes can be

/** Of this folder; files are read and written with errors of lib/weights. */
export class RewriteError extends CodedError<RewriteErrorCode> {}
