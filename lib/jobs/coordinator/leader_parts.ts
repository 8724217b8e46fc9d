/** What all parts of a leader share. */
import { JobError } from '../base/errors.js';
import type { JobBus, JobClock } from '../base/job_bus.js';
import type { Placement } from '../decisions/placement.js';
import type { LiveWorkers } from './live_workers.js';
import type { OwnRecords } from './own_records.js';

/** Of one time that a process leads. */
export interface LeaderParts {
  readonly bus: JobBus;
  readonly clock: JobClock;
  /** The process's name among workers. */
  readonly id: string;
  readonly own: OwnRecords;
  readonly workers: LiveWorkers;
  /** By key of their records. */
  readonly placements: Map<string, Placement>;
  /** Who was the last one in turn, by job and node. */
  readonly turns: Map<string, string>;
  /** How many shards a worker has, as it is now. */
  readonly loadOf: () => (worker: string) => number;
  /** What somebody should know. */
  readonly log: (text: string) => void;
}

/** Whether it is about the bus, or about who leads; all else is a job's own fault, and others go on. */
export const endsLeader = (reason: unknown): boolean => reason instanceof JobError && ENDS_LEADER.has(reason.code);

const ENDS_LEADER: ReadonlySet<string> = new Set(['RECORD_CONFLICT', 'BUS_FAILED', 'CLOSED']);
