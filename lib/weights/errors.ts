import { CodedError } from '../../base/coded_error.js';

/** Everything that can go wrong between a model folder and a tensor, either way; the message begins with the code and ends with what to do. */
export type WeightErrorCode =
  | 'MODEL_NOT_FOUND' // the folder, its config.json or its weights do not exist
  | 'GIT_LFS_POINTER' // Git was told where a large file is, and did not fetch it
  | 'INVALID_JSON' // a JSON file of the model folder is not what its format asks for
  | 'MALFORMED_SAFETENSORS' // a safetensors file contradicts its format, or shrank while in use
  | 'UNKNOWN_DTYPE' // a tensor's element type cannot be converted to float32 here
  | 'MISSING_TENSOR' // no file of the checkpoint holds the tensor
  | 'MISSING_SHARD' // the index names a file that does not exist
  | 'SHAPE_MISMATCH' // a tensor is there but not of the shape that the model's configuration implies
  | 'CHECKPOINT_CHANGED' // a file was written while its weights were read
  | 'WEIGHTS_DIFFER' // an expert is not the one of the head's model folder
  | 'READ_FAILED' // the operating system refused to read a file
  | 'FOLDER_NOT_EMPTY' // a checkpoint would be written where files are
  | 'WRITE_FAILED' // the operating system refused to write a file or folder
  | 'CLOSED'; // the checkpoint was closed by its owner

/** Where: attached as fields and named in the message. */
export interface WeightErrorContext {
  /** Path of the file that the error is about. */
  readonly file?: string | undefined;
  /** Name of the tensor that the error is about. */
  readonly tensor?: string | undefined;
  readonly cause?: unknown;
}

/** The only error class that lib/weights throws (an aborted read throws its signal's reason). */
export class WeightError extends CodedError<WeightErrorCode> {
  readonly file: string | undefined;
  readonly tensor: string | undefined;

  constructor(code: WeightErrorCode, text: string, { file, tensor, cause }: WeightErrorContext = {}) {
    super(code, text, { cause });
    this.file = file;
    this.tensor = tensor;
  }
}
