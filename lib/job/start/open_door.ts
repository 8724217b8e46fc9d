/** What ranks are told that come while a job runs, and what they must prove. */
import type { Rendezvous } from '../../../comm/job/rendezvous.js';
import { withoutRanks } from '../../../experts/placement/placement.js';
import { laterAgreement, type KernelAgreement } from '../../kernels/kernel_choice.js';
import { checkLater } from '../../protocol/report_check.js';
import type { RankJob } from '../../protocol/rank_job.js';
import type { LoadReport } from '../../protocol/step_plan.js';
import { readExpertTable } from './expert_table.js';
import { contentFingerprint } from './folder_proof.js';
import type { JobOptions } from './job_options.js';
import { madeOnce } from './made_once.js';
import type { NewcomersParts } from '../newcomers.js';

/** Longest time without news of a newcomer. */
const JOIN_TIMEOUT_MS = 60_000;

/** What the first ranks came to. */
export interface FirstRanks {
  /** What they were told. */
  readonly job: RankJob;
  readonly agreed: KernelAgreement;
  readonly reports: readonly LoadReport[];
  /** What experts are; completed when somebody comes who has to prove its own. */
  readonly expertDigests: Map<string, string>;
}

/** Whether a seat may be free while the job runs. */
export const othersMayCome = ({
  config: { comm },
  placement,
  numLocalRanks,
  numExternalRanks = 0,
}: JobOptions): boolean =>
  placement.numRanks > numLocalRanks + numExternalRanks || (comm.transport === 'ws' && comm.on_peer_loss !== 'fail');

/** Lets others in from now on. */
export function newcomersOf(
  options: JobOptions,
  rendezvous: Pick<Rendezvous, 'stayOpen'>,
  { job, agreed, reports, expertDigests }: FirstRanks,
): NewcomersParts {
  const { config, spec, placement, numLocalRanks, plugins = [] } = options;
  const ended = new AbortController();
  const { signal } = ended;
  const folder = { modelDir: config.model, spec, placement, signal };
  // Each once, when the first one comes who needs it.
  const otherProof = madeOnce(() => contentFingerprint({ ...folder, modelOverrides: config.model_overrides, plugins }));
  const completeTable = madeOnce(async () => {
    const { digests, error } = await readExpertTable({ ...folder, numLocalRanks, isComplete: true });
    if (error !== null) throw error;
    for (const [key, digest] of digests) expertDigests.set(key, digest);
  });
  return {
    open: (callbacks) =>
      rendezvous.stayOpen({
        ...callbacks,
        // Whoever comes holds no experts: it is told of them when it joins.
        welcome: (rank) => ({ ...job, phy2log: withoutRanks(placement, [rank]).phy2log }),
        agree: (offer) => laterAgreement(agreed, offer),
        ...(job.isOneFolder && { otherProof }),
        timeoutMs: options.joinTimeoutMs ?? JOIN_TIMEOUT_MS,
        onProgress: (rank, { fraction }) => options.onProgress?.(rank, fraction),
      }),
    check: async (rank, report) => {
      checkLater(rank, report, reports[0]!);
      // It holds no experts yet; each that it reads from a folder of its own is compared when it does.
      if (report.expertDigests !== undefined) await completeTable();
    },
    numSpares: config.parallel.spare_ranks,
    timeoutMs: options.joinTimeoutMs ?? JOIN_TIMEOUT_MS,
    silenceMs: config.comm.timeout_ms,
    onNotice: options.onNotice,
    close: () => ended.abort(),
  };
}
