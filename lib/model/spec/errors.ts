import { CodedError } from '../../../base/coded_error.js';

/** What a model folder can ask for that this build can't run; the message begins with the code and ends with what to do. */
export type ModelErrorCode =
  | 'UNSUPPORTED_MODEL' // a model_type without a family, or a config value that its family does not implement
  | 'INVALID_MODEL_CONFIG'; // a config.json field that is missing, of the wrong type or inconsistent

/** The only error class that configurations of models throw. */
export class ModelError extends CodedError<ModelErrorCode> {}
