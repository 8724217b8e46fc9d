/** What the end of a host's ssh means, and how it is told. Pure. */
import { printable } from '../../../base/foreign_text.js';
import { EngineError } from '../../protocol/errors.js';
import type { HostEnd } from './host_process.js';

/** Whose ssh ended, and how far its ranks were. */
export interface HostLoss {
  readonly destination: string;
  /** Numbers of its ranks. */
  readonly first: number;
  readonly numRanks: number;
  readonly end: HostEnd;
  /** All its ranks took part in the job. */
  readonly haveJoined: boolean;
  /** The words of ssh, for advice. */
  readonly ssh: readonly string[];
}

const SSH_FAILED = 255;
const NOT_FOUND: ReadonlySet<number> = new Set([126, 127]);

/** Ended before its ranks took part, however that was, or with a failure. */
export const isLoss = ({ end: { code }, haveJoined }: Pick<HostLoss, 'end' | 'haveJoined'>): boolean =>
  code !== 0 || !haveJoined;

/** ssh itself failed, which nobody else can tell: ranks that fail say why to their head. */
export const isOfSsh = ({ code, signal }: HostEnd): boolean =>
  signal !== null || code === null || code === SSH_FAILED || NOT_FOUND.has(code);

/** RANK_LOST: which ranks, how ssh ended, its last words, and what to do. */
export function hostError(loss: HostLoss, cause?: unknown): EngineError {
  const { lastWords } = loss.end;
  const words = lastWords === '' ? '' : ` (${printable(lastWords)})`;
  return new EngineError('RANK_LOST', `${hostStory(loss)}${words}; ${adviceOn(loss)}`, { rank: loss.first, cause });
}

/** Without advice: for a job that goes on. */
export function hostStory({ destination, first, numRanks, end: { code, signal }, haveJoined }: HostLoss): string {
  const last = first + numRanks - 1;
  const who = numRanks === 1 ? `rank ${first}` : `ranks ${first} to ${last}`;
  const how =
    signal === null
      ? code === null
        ? 'could not be started'
        : `ended with exit code ${code}`
      : `was killed by ${signal}`;
  return `${destination} with ${who}: ssh ${how}${haveJoined ? '' : ' before they had joined'}`;
}

function adviceOn({ destination, end, ssh }: HostLoss): string {
  if (end.code !== null && NOT_FOUND.has(end.code)) {
    return 'expertwire has to be there too: --remote-folder DIR says where, with Node.js in the PATH of that shell';
  }
  return isOfSsh(end) ? `see that '${[...ssh, destination].join(' ')} true' works` : 'its last lines are above';
}
