/** When a schedule is due: pure. */
import { Cron } from 'croner';
import type { Schedule } from '../base/job_bus.js';

/** The first time behind `afterMs`; `fromMs`: where a fixed rate began. Null: never again. @throws what croner throws for a pattern that is none */
export function nextDue(schedule: Schedule, fromMs: number, afterMs: number): number | null {
  if (schedule.kind === 'every') {
    const numPassed = Math.floor((afterMs - fromMs) / schedule.everyMs);
    return fromMs + (Math.max(numPassed, 0) + 1) * schedule.everyMs;
  }
  const cron = new Cron(schedule.cron, { timezone: schedule.timezone, paused: true });
  return cron.nextRun(new Date(afterMs))?.getTime() ?? null;
}

/** The last time until `untilMs` that is behind `afterMs`; null: none. */
export function lastDue(schedule: Schedule, fromMs: number, afterMs: number, untilMs: number): number | null {
  const first = nextDue(schedule, fromMs, afterMs);
  if (first === null || first > untilMs) return null;
  if (schedule.kind === 'every') return nextDue(schedule, fromMs, untilMs)! - schedule.everyMs;
  const cron = new Cron(schedule.cron, { timezone: schedule.timezone, paused: true });
  const [last] = cron.previousRuns(1, new Date(untilMs + 1));
  return last === undefined ? first : Math.max(last.getTime(), first);
}
