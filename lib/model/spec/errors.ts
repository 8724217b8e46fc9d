/** What a model folder can ask for that this build can't run; the message begins with the code and ends with what to do. */
export type ModelErrorCode =
  | 'UNSUPPORTED_MODEL' // a model_type without a family, or a config value that its family does not implement
  | 'INVALID_MODEL_CONFIG'; // a config.json field that is missing, of the wrong type or inconsistent

export class ModelError extends Error {
  readonly code: ModelErrorCode;

  constructor(code: ModelErrorCode, message: string) {
    super(`${code}: ${message}`);
    this.name = 'ModelError';
    this.code = code;
  }
}
