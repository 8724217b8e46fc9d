/** How every command with an engine begins. Why: docs/decisions/start.md#ranks-start-before-their-head-knows-what-to-tell-them */
import { totalmem } from 'node:os';
import type { ExpertwireConfig } from '../../config/schema.js';
import { LocalRanks } from '../../job/local_ranks.js';
import { checkRanksHere } from '../../job/start/transport.js';
import { closing } from '../base/closing.js';

/** What a command that starts an engine is given. */
export interface EngineStart {
  readonly config: ExpertwireConfig;
  /** Processes that will be the ranks of this machine: the engine takes them, and whoever started them ends what is left. */
  readonly ranks: LocalRanks;
}

/**
 * Starts the ranks of a configuration, which load their program beside `work`, and ends those that no engine took. `isResumed`: they run already.
 * @throws ConfigError INVALID_VALUE: too many
 */
export async function withRanks(
  config: ExpertwireConfig,
  work: (start: EngineStart) => Promise<void>,
  isResumed = false,
): Promise<void> {
  const { comm, parallel } = config;
  checkRanksHere(comm, parallel.ranks, totalmem());
  const ranks = isResumed ? new LocalRanks([]) : LocalRanks.ofJob(parallel.ranks, comm.transport);
  await closing(
    () => ranks.close({ gracefully: false }),
    () => work({ config, ranks }),
  );
}
