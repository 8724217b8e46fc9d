import { CodedError } from '../../base/coded_error.js';

/** Everything that can go wrong in installing the native backend; the message begins with the code and ends with what to do. */
export type NativeErrorCode =
  | 'UNSUPPORTED_MACHINE' // no library of the package index is for this operating system, its C library and processor
  | 'MISSING_PROGRAM' // npm, tar, a compiler or pip is not there, or too old
  | 'ALREADY_INSTALLING' // another process installs into the same place
  | 'DOWNLOAD_FAILED' // a registry could not be reached, or sent something else than what was asked for
  | 'BAD_ARCHIVE' // a wheel that is no zip file, is cut off, or lacks what is needed
  | 'NO_LIBRARY' // the folder that was named holds no TensorFlow library with headers
  | 'BUILD_FAILED' // the compiler refused the binding
  | 'LOAD_FAILED' // what was built does not load, or computes wrongly
  | 'WRITE_FAILED'; // the operating system refused to write the folder, or its disk is too small for it

/** The only error class that lib/native throws. */
export class NativeError extends CodedError<NativeErrorCode> {}
