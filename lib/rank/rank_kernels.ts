/** How the kernels of this rank compute: settled with the other ranks before a weight is read, and told to V8. */
import type { JoinedRank } from '../../comm/job/join.js';
import { widenSimd } from '../../compute/wasm/memory/v8_flags.js';
import {
  checkWish,
  kernelChoice,
  offerOf,
  trialNotice,
  widerNode,
  type KernelAgreement,
} from '../kernels/kernel_choice.js';
import type { KernelTrial } from '../kernels/kernel_trial.js';
import { thisNode } from '../kernels/newer_node.js';
import type { Residence } from '../model/weights/residence.js';
import type { RankJob } from '../protocol/rank_job.js';
import type { KernelReport, ThreadsReport } from '../protocol/step_plan.js';

/** The other ranks may have to be set up first: the head counts the time. */
const MAX_WAIT_MS = 2 ** 31 - 1;

/**
 * Null where TensorFlow.js computes, which has nothing to say in it.
 * @throws ExpertError KERNELS_UNAVAILABLE; CommError what the head gave up the job for; the signal's reason
 */
export async function agreedKernels(
  joined: Pick<JoinedRank, 'job' | 'agree'>,
  { compute }: Pick<Residence, 'compute'>,
  trial: KernelTrial,
  signal: AbortSignal,
): Promise<Omit<KernelReport, keyof ThreadsReport> | null> {
  const { kernels: wish } = joined.job as RankJob;
  const hasKernels = compute === 'kernels';
  if (hasKernels) checkWish(wish, trial, thisNode());
  const waiting = joined.agree(hasKernels ? offerOf(wish, trial) : null, { timeoutMs: MAX_WAIT_MS, signal });
  const agreed = await waiting.catch((error: unknown) => {
    throw signal.aborted ? signal.reason : error;
  });
  if (!hasKernels) return null;
  const choice = kernelChoice(wish, agreed as KernelAgreement, trial);
  if (choice.simd === 256) widenSimd();
  return { ...choice, notice: trialNotice(wish, trial), newer: widerNode(wish, trial, thisNode()) };
}
