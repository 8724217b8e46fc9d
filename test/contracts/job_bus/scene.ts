/** What the parts of the suite of buses of jobs stand on. */
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';

/** One bus of jobs. */
export interface JobBusUnderTest {
  /** A connection more to it; or the bus itself, where it has no connections. */
  connect(): Promise<JobBus>;
  /** Ends all connections and what keeps things, and starts it anew with what was kept: a connection to that. Null: it keeps nothing beyond its process. */
  readonly restart: (() => Promise<JobBus>) | null;
  /** Ends all. */
  close(): Promise<void>;
}

/** Of the test that runs. */
export interface Scene {
  /** Two connections to one bus. */
  readonly bus: JobBus;
  readonly other: JobBus;
  readonly underTest: JobBusUnderTest;
}
