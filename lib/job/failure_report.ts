/**
 * What speaks for the loss of a rank, in words that a user can act on. Pure.
 * Why: docs/decisions/losses.md#the-first-cause
 */
import { textOf } from '../../base/coded_error.js';
import { remoteMessage, type RemoteError } from '../../comm/base/errors.js';
import { EngineError } from '../protocol/errors.js';
import type { EndedNeighbour } from '../protocol/step_plan.js';
import type { LossPolicy } from '../config/loss_policy.js';
import type { RankExit } from './rank_process.js';

interface Heard {
  /** The ranks that are lost if it is right. */
  readonly about: readonly number[];
  readonly error: EngineError;
  /** It is known that nothing came before: what is told of other ranks is an echo of it. Default false. */
  readonly isFirst?: boolean;
}

/** A rank's error about another one. */
export type Accusation = Heard & { readonly kind: 'accusation'; readonly from: number };

/** A rank's error about itself, the end of its process, the end of its connection, the end of the head's patience. */
type Observation = Heard & {
  readonly kind: 'own_failure' | 'exit' | 'disconnect' | 'deadline';
  /** Nobody can tell better of that rank any more. Default false. */
  readonly isLastWord?: boolean;
};

/** One of the noises that a loss makes. */
export type FailureReport = Observation | Accusation;

/** `when`: where the job was, as in ' in step 3'; `plugins`: those that it runs, by the paths of their files. Default none. */
export function ownFailure(
  rank: number,
  failure: RemoteError,
  when: string,
  plugins: readonly string[] = [],
): FailureReport {
  const isTheirs = failure.code === 'NOT_FINITE' && plugins.length > 0;
  // Weights of a gate that overflow are seen only where they are computed with.
  const advice = isTheirs ? `; or look at what the job's plug-ins give: ${plugins.join(', ')}` : '';
  const text = `rank ${rank} failed${when}: ${remoteMessage(failure)}${advice}`;
  const error = new EngineError('RANK_FAILED', text, { rank });
  return { kind: 'own_failure', about: [rank], error };
}

/** What a witness says of the rank that its error blames: that one comes first, since it is what a reader looks for. */
export function accusation(from: number, error: RemoteError, when: string, policy: LossPolicy): FailureReport {
  const { code, reason, blames } = error;
  const about = blames.find((rank) => rank !== from)!;
  const text = textOf({ ...error, reason: `${reason}, says rank ${from}${when}` });
  const otherwise = policy === 'fail' ? 'RANK_FAILED' : 'RANK_LOST';
  const told = new EngineError(code === 'TIMEOUT' ? code : otherwise, text, { rank: about });
  return { kind: 'accusation', from, about: [about], error: told };
}

/** That the connection to a rank ended. `how`: in words; `when`: where the job was; `isHere`: the end of its process will be heard, too. */
export function disconnect(rank: number, how: string, when: string, isHere: boolean): FailureReport {
  const text = `the connection to rank ${rank} ended${when} (${how}); look at its log`;
  const error = new EngineError('RANK_LOST', text, { rank });
  return { kind: 'disconnect', about: [rank], error, isLastWord: !isHere };
}

/** That the process of a rank ended, or the one of all `ranks`. */
export function processExit({ rank, pid, code, signal }: RankExit, ranks: readonly number[]): FailureReport {
  const who = rank === null ? 'the process of all ranks' : `rank ${rank}`;
  const text = `${who} (process ${pid ?? '?'}) ${howEnded({ code, signal })}; look at its last lines above`;
  const error = new EngineError('RANK_LOST', text, rank === null ? {} : { rank });
  return { kind: 'exit', about: rank === null ? ranks : [rank], error };
}

/** That the process of a rank elsewhere ended. */
export function endElsewhere({ rank, pid, host, ...how }: EndedNeighbour): FailureReport {
  const text = `rank ${rank} (process ${pid ?? '?'} on ${host}) ${howEnded(how)}; look at its last lines there`;
  return { kind: 'exit', about: [rank], error: new EngineError('RANK_LOST', text, { rank }) };
}

/** Of a process, in words. */
export const howEnded = ({ code, signal }: Pick<RankExit, 'code' | 'signal'>): string =>
  signal === null ? `ended with exit code ${code ?? '?'}` : `was killed by ${signal}`;

/** That ranks did not do something in time. `note`: on the time. */
export function lateRanks(ranks: Iterable<number>, what: string, timeoutMs: number, note = ''): FailureReport {
  const about = [...ranks];
  const text = `rank ${about.join(', ')} did not ${what} within ${timeoutMs} ms${note}; look at its log, or raise comm.timeout_ms`;
  return { kind: 'deadline', about, error: new EngineError('TIMEOUT', text, { rank: about[0]! }) };
}
