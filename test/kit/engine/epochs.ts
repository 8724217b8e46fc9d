/** Epochs as a job tells of them. */
import type { EpochChange } from '../../../lib/job/step_runner.js';

/** Of members that all hold experts and stay. */
export function epochOf(present: Iterable<number>, what: Partial<EpochChange> = {}): EpochChange {
  const { epoch = 1 } = what;
  const members = { epoch, present: new Set(present), demoted: new Set<number>(), leaving: new Set<number>() };
  return { epoch, members, lost: [], joined: [], left: [], abandonedStep: null, ...what };
}
