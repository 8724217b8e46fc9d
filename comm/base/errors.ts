import { CodedError, textOf } from '../../base/coded_error.js';
import { asRank, type Rank } from '../../base/ids.js';

/** Every code, for checking one that came over a wire. */
export const COMM_ERROR_CODES = [
  'PEER_LOST', // a peer's connection closed or its process ended
  'PEER_FAILED', // a peer reported an error of its own, which the message holds
  'TIMEOUT', // a peer did not answer in time
  'ABORTED', // the caller or the head ended the call
  'CLOSED', // the mesh or link was closed by its owner
  'PROTOCOL', // a peer sent what the protocol does not allow
  'LIMIT', // a frame, queue or message is larger than agreed
  'AUTH_FAILED', // the job secret does not match
  'VERSION_MISMATCH', // two builds speak different protocol versions
  'FINGERPRINT_MISMATCH', // two ranks loaded different checkpoints
  'ADDRESS_IN_USE', // the port to listen on is taken
  'UNREACHABLE', // nothing answers at a peer's or the head's address
  'INVALID_ARGUMENT', // a call with impossible arguments
  'CODEC_FAILED', // a codec of the caller's threw, or gave what can't travel
] as const;

/** Everything that can go wrong between ranks; the message begins with the code and ends with what to do. */
export type CommErrorCode = (typeof COMM_ERROR_CODES)[number];

/** An error as it travels: a CommError's, or one of an upper layer. */
export interface RemoteError extends Pick<CodedError, 'code' | 'reason' | 'advice' | 'blames'> {
  readonly rank?: number | undefined;
  readonly layer?: number | undefined;
  readonly phase?: string | undefined;
  /** Name of the machine on which it happened. */
  readonly host?: string | undefined;
}

/** Who and where: attached as fields and named in the message. */
export interface CommErrorContext {
  /** The peer that the error is about. */
  readonly rank?: Rank | undefined;
  /** Whether that peer is to blame. Default: where the code is PEER_LOST, PEER_FAILED, TIMEOUT or PROTOCOL. */
  readonly isItsDoing?: boolean | undefined;
  readonly layer?: number | undefined;
  /** What was being done: 'dispatch', 'combine', 'barrier', 'join', … */
  readonly phase?: string | undefined;
  readonly waitedMs?: number | undefined;
  /** What a peer reported, as it came. */
  readonly remote?: RemoteError | undefined;
  readonly cause?: unknown;
}

/** Codes that say of a peer that it is to blame. */
const BLAMING: readonly CommErrorCode[] = ['PEER_LOST', 'PEER_FAILED', 'TIMEOUT', 'PROTOCOL'];

/** The only error class that comm throws. */
export class CommError extends CodedError<CommErrorCode> {
  readonly rank: Rank | undefined;
  readonly layer: number | undefined;
  readonly phase: string | undefined;
  readonly waitedMs: number | undefined;
  readonly remote: RemoteError | undefined;

  constructor(code: CommErrorCode, text: string, context: CommErrorContext = {}) {
    const { rank, layer, phase, waitedMs, remote, cause } = context;
    const isBlamed = rank !== undefined && (context.isItsDoing ?? BLAMING.includes(code));
    super(code, text, { blames: isBlamed ? [rank] : [], cause });
    this.rank = rank;
    this.layer = layer;
    this.phase = phase;
    this.waitedMs = waitedMs;
    this.remote = remote;
  }
}

/** What travels of an error; of one that isn't ours, the operating system's code or else INTERNAL. */
export function remoteErrorOf(error: unknown): RemoteError {
  if (!(error instanceof CodedError)) {
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof Error && 'errno' in error && 'code' in error ? String(error.code) : 'INTERNAL';
    return { code, reason: message.replace(`${code}: `, ''), advice: '', blames: [] };
  }
  const { code, reason, advice, blames } = error as CodedError;
  if (!(error instanceof CommError)) return { code, reason, advice, blames };
  const { rank, layer, phase } = error;
  return {
    ...{ code, reason, advice, blames },
    ...(rank !== undefined && { rank }),
    ...(layer !== undefined && { layer }),
    ...(phase !== undefined && { phase }),
  };
}

/** As the error's own message was. */
export const remoteMessage = (error: RemoteError): string => `${error.code}: ${textOf(error)}`;

/** A remote error as one to throw here. A code of an upper layer becomes PEER_FAILED, its message the text. */
export function errorOfRemote(error: RemoteError): CommError {
  const { rank, layer, phase, blames } = error;
  const code = COMM_ERROR_CODES.find((known) => known === error.code);
  const about = rank === undefined ? undefined : asRank(rank);
  const context = { rank: about, layer, phase, isItsDoing: blames.length > 0, remote: error };
  return new CommError(code ?? 'PEER_FAILED', code === undefined ? remoteMessage(error) : textOf(error), context);
}
