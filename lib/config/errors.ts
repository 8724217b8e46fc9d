import { CodedError } from '../../base/coded_error.js';

/** Everything that can be wrong with a configuration; the message begins with the code and ends with what to do. */
export type ConfigErrorCode =
  | 'NOT_FOUND' // the configuration file, or the model folder it names, does not exist
  | 'INVALID_YAML' // the text is not YAML 1.2
  | 'UNKNOWN_KEY' // a key that does not exist, or not at this level
  | 'MISSING_KEY' // a key without a default was not given
  | 'WRONG_TYPE' // a value of another type than the key takes
  | 'INVALID_VALUE'; // a value of the right type that the key does not allow

/** Where: attached as fields and named in the message. */
export interface ConfigErrorContext {
  /** The key's whole path: 'engine.max_num_seqs', 'generate.prompts.2'. */
  readonly key?: string | undefined;
  /** Path of the configuration file. */
  readonly file?: string | undefined;
  /** Line in the file, from 1. */
  readonly line?: number | undefined;
  readonly cause?: unknown;
}

/** The only error class that lib/config throws. */
export class ConfigError extends CodedError<ConfigErrorCode> {
  readonly key: string | undefined;
  readonly file: string | undefined;
  readonly line: number | undefined;

  constructor(code: ConfigErrorCode, text: string, { key, file, line, cause }: ConfigErrorContext = {}) {
    super(code, text, { cause });
    this.key = key;
    this.file = file;
    this.line = line;
  }
}
