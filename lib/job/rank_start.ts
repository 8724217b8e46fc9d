/** What the head hears of a rank before the first step: that it has loaded, or why it can't start. */
import { CodedError, textOf } from '../../base/coded_error.js';
import { CommError, type RemoteError } from '../../comm/base/errors.js';
import { Deadline, MAX_TIMEOUT_MS } from '../../comm/base/deadline.js';
import type { ControlLink } from '../../comm/job/control_link.js';
import type { ControlMessageOf } from '../../comm/job/messages.js';
import { EngineError } from '../protocol/errors.js';
import type { LoadReport, RankToHead } from '../protocol/step_plan.js';
import type { LossWatch } from './loss_watch.js';

/** A rank of the job could not start. The message begins with the code of what failed there, then says which rank on which machine, and what to do. */
export class RankStartError extends CodedError {
  /** Name of the rank's machine, where the rank told it. */
  readonly host: string | undefined;

  /** The code is of the layer that failed on the rank: BACKEND_UNAVAILABLE, OUT_OF_MEMORY, … */
  constructor(
    readonly rank: number,
    failure: RemoteError,
  ) {
    const { code, reason, host } = failure;
    const who = host === undefined ? `rank ${rank}` : `rank ${rank} on ${host}`;
    super(code, textOf({ ...failure, reason: `${who}: ${reason}` }), { blames: [rank] });
    this.host = host;
  }
}

/** How long the report of a rank is waited for, and who hears of its links to others meanwhile. */
export interface FirstReportOptions {
  /** Default: as long as it takes. */
  readonly timeoutMs?: number;
  /** Default: it says nothing of them. */
  readonly onLinks?: (message: ControlMessageOf<'linked' | 'unlinked'>) => void;
}

/** The first thing that a linked rank says. @throws RankStartError; EngineError RANK_LOST, TIMEOUT */
export async function firstReport(
  link: Pick<ControlLink, 'closed' | 'onMessage'>,
  rank: number,
  { timeoutMs = MAX_TIMEOUT_MS, onLinks }: FirstReportOptions = {},
): Promise<LoadReport> {
  let deadline: Deadline | undefined;
  const report = new Promise<LoadReport>((resolve, reject) => {
    const fail = (code: 'RANK_LOST' | 'TIMEOUT', why: string): void =>
      reject(new EngineError(code, `rank ${rank} ${why}; look at its log`, { rank }));
    deadline = new Deadline(timeoutMs, () => fail('TIMEOUT', `did not say what it loaded within ${timeoutMs} ms`));
    void link.closed.then((how) => {
      const why = how.kind === 'lost' ? how.why : 'its connection closed';
      fail('RANK_LOST', `left before its first step: ${why}`);
    });
    link.onMessage((message) => {
      if (message.type === 'linked' || message.type === 'unlinked') onLinks?.(message);
      if (message.type === 'failed') reject(new RankStartError(rank, message.error));
      if (message.type !== 'job') return;
      link.onMessage(undefined); // what it says next is for the job
      resolve((message.body as Extract<RankToHead, { kind: 'loaded' }>).report);
    });
  });
  return report.finally(() => deadline!.cancel());
}

/**
 * Throws what lies behind an error of the rendezvous: a connection that closed is an effect, and what closed it is told a moment later, by the
 * process's end.
 */
export async function nearestCause(error: unknown, losses: Pick<LossWatch, 'report' | 'ended'>): Promise<never> {
  if (!(error instanceof CommError)) throw error;
  const { rank, remote } = error;
  if (rank !== undefined && remote !== undefined && (remote.rank ?? rank) === rank)
    throw new RankStartError(rank, remote);
  if (error.code !== 'PEER_LOST' || rank === undefined) throw error;
  const lost = new EngineError('RANK_LOST', error.text, { rank });
  losses.report({ kind: 'disconnect', about: [rank], error: lost, isFirst: true });
  throw await losses.ended;
}
