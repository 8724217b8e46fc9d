import type { ExpertwireConfig } from '../../../config/schema.js';
import { fcfs } from './fcfs.js';
import { lpm } from './lpm.js';
import type { SchedulingPolicy } from '../policy.js';
import { priority } from './priority.js';

/** By the name that `engine.scheduling` takes. Why: docs/decisions/requests.md#policies-order-requests-and-all-share-the-rest */
export const POLICIES: Readonly<Record<ExpertwireConfig['engine']['scheduling'], SchedulingPolicy>> = {
  fcfs,
  priority,
  lpm,
};
