/** Whether what a configuration has ranks come, go or give their experts away for can be followed. Pure. */
import { ConfigError } from '../../config/errors.js';
import type { SettledConfig } from '../../config/loss_policy.js';

/** `numSeats`: ranks that the job can have at a time. @throws ConfigError INVALID_VALUE */
export function checkElastic(
  { elastic, parallel, comm }: Pick<SettledConfig, 'elastic' | 'parallel' | 'comm'>,
  numSeats: number,
): void {
  const { on_peer_loss: policy } = comm;
  const refuse = (key: string, what: string): never => {
    throw new ConfigError('INVALID_VALUE', what, { key });
  };
  if (parallel.on_slow === 'demote' && policy !== 'recover') {
    const what = `"parallel.on_slow" is demote, and experts follow ranks only where losses are made good, but "comm.on_peer_loss" comes to ${policy}`;
    refuse('parallel.on_slow', `${what}; set that to recover, or this to warn`);
  }
  if (!elastic.enabled) return;
  const most = elastic.max_ranks === 'auto' ? numSeats : elastic.max_ranks;
  if (most === 1) {
    const isOwn = elastic.max_ranks === 1;
    const what = `"elastic.enabled" is true, and ${isOwn ? '"elastic.max_ranks" is 1' : 'this job has one seat'}, so that no rank could ever come`;
    const key = isOwn ? 'elastic.max_ranks' : 'parallel.max_ranks';
    refuse(key, `${what}; raise "${key}"`);
  }
  if (policy !== 'recover') {
    const what = `"elastic.enabled" is true, and ranks come and go only where their experts are taken over, but "comm.on_peer_loss" comes to ${policy}`;
    refuse('elastic.enabled', `${what}; set that to recover, or this to false`);
  }
  if (elastic.min_ranks > most) {
    const what = `"elastic.min_ranks" is ${elastic.min_ranks}, and there are to be ${most} ranks at most`;
    refuse('elastic.min_ranks', `${what}; lower it, or raise "elastic.max_ranks" or "parallel.max_ranks"`);
  }
  if (elastic.down >= elastic.up) {
    const what = `"elastic.down" is ${elastic.down} and "elastic.up" is ${elastic.up}, so that a rank would come and go all the time`;
    refuse('elastic.down', `${what}; set it below the other one`);
  }
}
