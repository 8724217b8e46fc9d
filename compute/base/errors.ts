import { CodedError } from '../../base/coded_error.js';

/** Everything that can go wrong in running and placing experts; the message begins with the code and ends with what to do. */
export type ExpertErrorCode =
  | 'BACKEND_UNAVAILABLE' // the chosen TensorFlow.js backend does not run here
  | 'KERNELS_UNAVAILABLE' // the kernels can't compute here as they are asked to
  | 'OUT_OF_MEMORY' // the weights of this rank do not fit the backend
  | 'DEVICE_LOST' // a GPU went away, and what was held on it
  | 'DEVICE_FAILED' // a GPU refused work: what it computes from then on can't be trusted
  | 'THREAD_FAILED' // a thread that computes for a rank could not be started, or ended
  | 'INVALID_ARGUMENT' // impossible shapes, ids or options
  | 'BAD_RECORDING' // a recording of routing that can't be read: cut off, damaged, or something else
  | 'EXPERT_UNREADABLE' // an expert that isn't resident can't be read from disk, or isn't what it was
  | 'MISSING_EXPERT' // a token arrived for a slot that holds no expert
  | 'NOT_FINITE'; // NaN or infinity was computed, or stands in weights that are to be quantised

/** Where: attached as fields and named in the message. */
export interface ExpertErrorContext {
  /** Of a recording. */
  readonly file?: string;
  /** Counted from 1. */
  readonly line?: number;
  readonly cause?: unknown;
}

/** The only error class that compute and experts throw. */
export class ExpertError extends CodedError<ExpertErrorCode> {
  readonly file: string | undefined;
  readonly line: number | undefined;

  constructor(code: ExpertErrorCode, text: string, { file, line, cause }: ExpertErrorContext = {}) {
    super(code, text, { cause });
    this.file = file;
    this.line = line;
  }
}
