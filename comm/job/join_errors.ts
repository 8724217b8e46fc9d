/** Why ranks can't make a job, or come to one: always which rank, and what to do. */
import { CommError } from '../base/errors.js';
import { textOf } from '../../base/coded_error.js';
import { asRank, type Rank } from '../../base/ids.js';
import type { ControlMessage } from './messages.js';

/** PROTOCOL: a rank said what it can't say yet, or any more. */
export const outOfTurn = (rank: Rank, { type }: ControlMessage): CommError =>
  new CommError('PROTOCOL', `rank ${rank} sent '${type}' out of turn; run the same build everywhere`, { rank });

/** What a rank failed with before the job began. */
export function failureOf(rank: Rank, cause: CommError): CommError {
  const message = `rank ${rank} failed before the job started: ${cause.text}`;
  return new CommError(cause.code, message, { rank, phase: 'join', remote: cause.remote, cause });
}

/** Why a rank doesn't come to a job that runs. */
export function notJoined(rank: Rank, cause: CommError): CommError {
  const message = `rank ${rank} can't join the running job: ${cause.text}`;
  return new CommError(cause.code, message, { rank, phase: 'join', remote: cause.remote, cause });
}

/** Why a rank can't come back whose head is gone. */
export function cameTooLate(): CommError {
  const what = 'the job has gone on without this rank, which comes back from another head';
  return new CommError('INVALID_ARGUMENT', `${what}; start it again, and it joins as a new one`);
}

/** What a witness tells of another rank. */
export function accusationOf(witness: Rank, cause: CommError): CommError {
  const message = textOf({
    advice: cause.advice,
    reason: `${cause.reason}, says rank ${witness} before the job started`,
  });
  return new CommError(cause.code, message, { rank: cause.rank, phase: 'join', cause });
}

const isLoopback = (host: string): boolean => host === '::1' || host === 'localhost' || host.startsWith('127.');

/** A rank that only its own machine can reach, in a job that spans machines; `hosts` by rank. */
export function unreachableOf(hosts: ReadonlyMap<number, string>): CommError | undefined {
  const local = [...hosts].find(([, host]) => isLoopback(host));
  const remote = [...hosts].find(([, host]) => !isLoopback(host));
  if (local === undefined || remote === undefined) return undefined;
  const message =
    `rank ${local[0]} is at ${local[1]}, which rank ${remote[0]} at ${remote[1]} can't reach; ` +
    `start rank ${local[0]} with the head's network address or advertise one`;
  return new CommError('UNREACHABLE', message, { rank: asRank(local[0]), phase: 'join' });
}
