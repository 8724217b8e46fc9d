import { CodedError } from '../../../base/coded_error.js';

/** Everything that can go wrong with jobs and their bus; the message begins with the code and ends with what to do. What is wrong with a job's file is a ConfigError. */
export type JobErrorCode =
  | 'BUS_FAILED' // the bus can't be reached, refuses, or lacks what jobs need
  | 'RECORD_CONFLICT' // somebody else wrote the record meanwhile
  | 'NO_SUCH_JOB'
  | 'NO_SUCH_RUN'
  | 'WORKER_ID_TAKEN' // another worker has that id
  | 'FOLDER_IN_USE' // another worker works in this folder of jobs
  | 'NOT_ALLOWED' // a task asks for what this worker doesn't do
  | 'TASK_FAILED' // what a task ran failed, in its own words
  | 'TASK_TIMED_OUT'
  | 'TASK_LOST' // its workers died again and again
  | 'RUN_STOPPED'
  | 'TOO_MANY' // more shards, queued runs, bytes than there may be
  | 'BROKEN_RECORD' // what the bus keeps can't be read
  | 'CLOSED';

/** The only error class that lib/jobs throws of itself. */
export class JobError extends CodedError<JobErrorCode> {}

/** What a bus says that was closed. */
export const closedError = (): JobError => new JobError('CLOSED', 'the bus of jobs was closed; open another');
