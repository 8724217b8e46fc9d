import { CodedError } from '../../../base/coded_error.js';

/** Everything that can go wrong with an experiment; the message begins with the code and ends with what to do. What is wrong with its file is a ConfigError. */
export type ExperimentErrorCode =
  | 'FOLDER_IN_USE' // another process writes into the results
  | 'OTHER_EXPERIMENT' // the folder has results of runs that this file doesn't have
  | 'BROKEN_RESULTS' // a line of the results that isn't the last can't be read
  | 'NOT_KEPT' // the disk doesn't take results
  | 'NO_RESULTS' // there is nothing to report of
  | 'RUN_FAILED' // a run's process ended without a result
  | 'RUNNER_FAILED' // Slurm, Kubernetes or a bus can't be reached, refuses, or has lost what it was given
  | 'RUN_TIMED_OUT' // a run took longer than timeout_s
  | 'MEASURE_FAILED'; // what was measured can't be: a reference that differs, a metric that isn't there

/** The only error class that lib/experiment and bench/experiment throw of themselves. */
export class ExperimentError extends CodedError<ExperimentErrorCode> {}
