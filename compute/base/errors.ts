/** Everything that can go wrong in running and placing experts; the message begins with the code and ends with what to do. */
export type ExpertErrorCode =
  | 'BACKEND_UNAVAILABLE' // the chosen TensorFlow.js backend does not run here
  | 'OUT_OF_MEMORY' // the weights of this rank do not fit the backend
  | 'DEVICE_LOST' // a GPU went away, and what was held on it
  | 'DEVICE_FAILED' // a GPU refused work: what it computes from then on can't be trusted
  | 'INVALID_ARGUMENT' // impossible shapes, ids or options
  | 'BAD_RECORDING' // a recording of routing that can't be read: cut off, damaged, or something else
  | 'MISSING_EXPERT' // a token arrived for a slot that holds no expert
  | 'NOT_FINITE'; // NaN or infinity was computed, or stands in weights that are to be quantised

export interface ExpertErrorContext {
  /** Of a recording. */
  readonly file?: string;
  /** Counted from 1. */
  readonly line?: number;
  readonly cause?: unknown;
}

/** The only error class that experts throws. */
export class ExpertError extends Error {
  readonly code: ExpertErrorCode;
  readonly file: string | undefined;
  readonly line: number | undefined;

  constructor(code: ExpertErrorCode, message: string, { file, line, ...options }: ExpertErrorContext = {}) {
    super(`${code}: ${message}`, options);
    this.name = 'ExpertError';
    this.code = code;
    this.file = file;
    this.line = line;
  }
}
