/** What the head hears of a rank before the first step: that it has loaded, or why it can't start. */
import { CodedError, textOf } from '../../base/coded_error.js';
import { CommError, type RemoteError } from '../../comm/base/errors.js';
import type { ControlLink } from '../../comm/job/control_link.js';
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

/** The first thing that a linked rank says. @throws RankStartError, or EngineError RANK_LOST */
export function firstReport(link: ControlLink, rank: number): Promise<LoadReport> {
  return new Promise((resolve, reject) => {
    void link.closed.then((how) => {
      const why = how.kind === 'lost' ? how.why : 'its connection closed';
      const text = `rank ${rank} left before the first step: ${why}; look at its log`;
      reject(new EngineError('RANK_LOST', text, { rank }));
    });
    link.onMessage((message) => {
      if (message.type === 'failed') reject(new RankStartError(rank, message.error));
      if (message.type !== 'job') return;
      link.onMessage(undefined);
      resolve((message.body as Extract<RankToHead, { kind: 'loaded' }>).report);
    });
  });
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
