/** The bus over NATS as `bench jobs` uses it. */
import { CLUSTER_DEFAULTS } from '../../lib/config/cluster_schema.js';
import type { JobBus } from '../../lib/jobs/base/job_bus.js';
import { openNatsJobBus } from '../../lib/jobs/nats/nats_job_bus.js';

/** A connection more. */
export const openBenchBus = (url: string): Promise<JobBus> =>
  openNatsJobBus({ ...CLUSTER_DEFAULTS, bus: url, name: 'bench' });
