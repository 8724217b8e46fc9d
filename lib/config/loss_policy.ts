/** What a job does when a rank is lost. Pure. */
import type { ExpertwireConfig } from './schema.js';

/**
 * 'fail': the first loss ends the job. 'mask': it goes on without what the rank held, while a rank is left. 'recover': the ranks that are left take over
 * what it held before the step runs again.
 */
export type LossPolicy = 'fail' | 'mask' | 'recover';

/** A configuration of which it is settled what losses come to: see {@link withLossPolicy}. */
export type SettledConfig = ExpertwireConfig & { readonly comm: { readonly on_peer_loss: LossPolicy } };

/** Whether ranks can come and go one by one. Threads end together with their process, and between nodes ranks forward for others. */
export const isLoose = ({ transport, num_nodes: numNodes }: ExpertwireConfig['comm']): boolean =>
  transport === 'ws' && numNodes === 1;

/**
 * Settles what `comm.on_peer_loss: auto` comes to: losses are made good where a rank can be lost alone, and others can be there.
 *
 * @param numSeats ranks that the job can have at a time
 */
export function withLossPolicy(config: ExpertwireConfig, numSeats: number): SettledConfig {
  const { comm } = config;
  const { on_peer_loss: asked } = comm;
  const ofAuto = isLoose(comm) && numSeats > 1 ? 'recover' : 'fail';
  return { ...config, comm: { ...comm, on_peer_loss: asked === 'auto' ? ofAuto : asked } };
}
