import type { ExpertwireConfig } from '../../config/schema.js';
import { fcfs } from './fcfs.js';
import type { SchedulingPolicy } from './policy.js';

/** By the name that `engine.scheduling` takes. */
export const POLICIES: Readonly<Record<ExpertwireConfig['engine']['scheduling'], SchedulingPolicy>> = { fcfs };
