/** Whoever works may lead. Why: docs/decisions/jobs.md#who-leads-decides-and-a-stale-leader-writes-nothing */
import type { JobBus } from '../base/job_bus.js';
import { JobError } from '../base/errors.js';
import { lead, type LeaderOptions } from './leader.js';

/** Leads whenever it is this process's turn, until the signal says so. What ends a turn but that is told to `log`. */
export async function coordinate(bus: JobBus, options: LeaderOptions, until: AbortSignal): Promise<void> {
  await bus.roster.campaign(
    options.id,
    async (turn) => {
      try {
        await lead(bus, options, turn);
      } catch (reason) {
        if (!turn.aborted && !isQuiet(reason)) options.log(`leads no more: ${String(reason)}`);
        throw reason;
      }
    },
    until,
  );
}

/** Another one leads: that is how it is to be. */
const isQuiet = (reason: unknown): boolean => reason instanceof JobError && reason.code === 'RECORD_CONFLICT';
