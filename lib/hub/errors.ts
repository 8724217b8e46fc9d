import { CodedError } from '../../base/coded_error.js';

/** Everything that can go wrong between a hub and its cache; the message begins with the code and ends with what to do. */
export type HubErrorCode =
  | 'INVALID_SETTING' // a variable of the environment that can't be used: the token, the hub's address
  | 'OFFLINE' // HF_HUB_OFFLINE says that no hub may be asked
  | 'UNREACHABLE' // the hub didn't answer, or its answer broke off again and again
  | 'HUB_FAILED' // the hub answered that it can't, or what nobody understands
  | 'NO_REPOSITORY' // the hub has no such model, or none that this token may see
  | 'NO_REVISION' // the model has no such branch, tag or commit
  | 'GATED' // its owners let in who accepted their terms
  | 'BAD_TOKEN' // the hub doesn't know the token, or it may not do this
  | 'NO_FILES' // the repository has no files of those that were asked for, or no weights that can be read here
  | 'UNSAFE_PATH' // a file's name would lead out of the cache
  | 'WRONG_BYTES' // what came isn't what the hub announced
  | 'DISK_FULL' // there is no room for the files
  | 'WRITE_FAILED'; // the operating system refused to write them

/** The only error class that lib/hub throws (what was aborted throws its signal's reason). */
export class HubError extends CodedError<HubErrorCode> {}
