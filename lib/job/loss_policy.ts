/** What a job does when a rank is lost. Pure. */
import type { ExpertwireConfig } from '../config/schema.js';

/**
 * 'fail': the first loss ends the job. 'mask': it goes on without what the rank held, while a rank is left. 'recover': the ranks that are left take over
 * what it held before the step runs again.
 */
export type LossPolicy = 'fail' | 'mask' | 'recover';

/** What `comm.on_peer_loss: auto` comes to. */
export const lossPolicyOf = ({ on_peer_loss: asked }: Pick<ExpertwireConfig['comm'], 'on_peer_loss'>): LossPolicy =>
  asked === 'auto' ? 'fail' : asked;
