import { CodedError } from '../../../base/coded_error.js';

/** Everything that can go wrong between instances; the message begins with the code and ends with what to do. */
export type ClusterErrorCode =
  | 'INVALID_RECORD' // what an instance tells of itself can't be
  | 'ID_TAKEN' // another instance has the id that one joined with
  | 'NO_INSTANCE' // no instance is there that may take a request
  | 'REJECTED' // a policy lets no instance take a request now: it would come too late
  | 'POLICY_FAILED' // a policy chose what isn't there to choose
  | 'NO_REQUEST' // nobody knows a request that is to move
  | 'MOVE_FAILED' // a request could not move; it goes on where it is
  | 'COPY_FAILED' // an instance could not bring blocks from others; they are computed where they are wanted
  | 'INSTANCE_LOST' // an instance is gone, and what it said with it
  | 'START_FAILED' // an instance ended before it served
  | 'BUS_FAILED' // the bus can't be reached, or refuses
  | 'CLOSED'; // who was asked is closed

/** The only error class that lib/cluster throws. */
export class ClusterError extends CodedError<ClusterErrorCode> {
  /** The instance that it is about. */
  readonly instance: string | undefined;

  constructor(
    code: ClusterErrorCode,
    text: string,
    { instance, cause }: { readonly instance?: string; readonly cause?: unknown } = {},
  ) {
    super(code, text, { cause });
    this.instance = instance;
  }
}
