/** What help says of each benchmark, by its name. */
import type { BenchHelp } from './bench_help.js';
import { ENGINE_BENCHES } from './engine_benches.js';
import { JOB_BENCHES } from './job_benches.js';
import { PART_BENCHES } from './part_benches.js';

/** Of all of them. */
export const BENCH_HELPS: Readonly<Record<string, BenchHelp>> = { ...PART_BENCHES, ...ENGINE_BENCHES, ...JOB_BENCHES };
