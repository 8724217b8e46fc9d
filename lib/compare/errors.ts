import { CodedError } from '../../base/coded_error.js';

/** What goes wrong with the rows that a comparison keeps on a disk: there is no room for them, or they can't be written or read. */
export class CompareError extends CodedError<'NO_ROOM' | 'SCRATCH_FAILED'> {}
