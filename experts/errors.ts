/** Everything that can go wrong in running and placing experts; the message begins with the code and ends with what to do. */
export type ExpertErrorCode =
  | 'BACKEND_UNAVAILABLE' // the chosen TensorFlow.js backend does not run here
  | 'OUT_OF_MEMORY' // the weights of this rank do not fit the backend
  | 'INVALID_ARGUMENT' // impossible shapes, ids or options
  | 'MISSING_EXPERT' // a token arrived for a slot that holds no expert
  | 'NOT_FINITE'; // the backend computed NaN or infinity

/** The only error class that experts throws. */
export class ExpertError extends Error {
  readonly code: ExpertErrorCode;

  constructor(code: ExpertErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(`${code}: ${message}`, options);
    this.name = 'ExpertError';
    this.code = code;
  }
}
