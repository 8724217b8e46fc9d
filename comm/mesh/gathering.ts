/**
 * Waiting for one frame from each of several peers as one wait: the first failure ends it for all.
 * Why: docs/decisions/exchange.md#one-wait-per-call
 */
import { checkTimeout, type Deadline, type DeadlineWheel } from '../base/deadline.js';
import { CommError } from '../base/errors.js';
import type { FrameKey } from './frame.js';
import { abortedError, timeoutError } from './mailbox_errors.js';
import type { Rank } from '../../base/ids.js';
import type { Frame, GatherEvents, Wait } from './mesh.js';

/** Who brings the frames. */
export interface FrameSource {
  /** Counts the patience of all its gatherings. */
  readonly deadlines: DeadlineWheel;
  /** The patience with a peer is over: `fail` follows, or `deliver` where its frame is here after all. */
  giveUp(gathering: Gathering, peer: Rank, why: CommError): void;
  /** Nobody waits for this peer's frame any more. */
  leave(gathering: Gathering, peer: Rank): void;
}

/** One wait: told of frames and failures by its source, which it tells when its patience is over. */
export class Gathering {
  /** In the order of `peers`; undefined while it is silent, null where the call goes on without it. */
  private readonly frames: (Frame | undefined | null)[];
  private readonly startMs = performance.now();
  private numSilent: number;
  private hasGivenUp = false;
  private isInGrace = false;
  private deadline: Deadline | undefined;
  private error: CommError | undefined;
  private resolve: ((frames: Frame[]) => void) | undefined;
  private reject: ((error: CommError) => void) | undefined;

  /** @throws CommError INVALID_ARGUMENT for a timeout that no timer counts */
  constructor(
    private readonly source: FrameSource,
    private readonly peers: readonly Rank[],
    readonly key: FrameKey,
    private readonly wait: Wait,
    private readonly events: GatherEvents,
  ) {
    checkTimeout(wait.timeoutMs);
    this.frames = new Array<Frame | undefined | null>(peers.length).fill(undefined);
    this.numSilent = peers.length;
  }

  /** Whether nothing more is awaited: every frame is here, or the call failed. */
  get isOver(): boolean {
    return this.numSilent === 0 || this.error !== undefined;
  }

  /** A peer's frame is here. */
  deliver(peer: Rank, frame: Frame): void {
    if (this.isOver) return frame.release?.();
    this.frames[this.peers.indexOf(peer)] = frame;
    this.numSilent--;
    this.events.onFrame?.(peer, Math.max(0, frame.arrivedMs - this.startMs));
    if (this.numSilent === 0) this.end();
    else if (this.isInGrace && this.isAlone) this.accuse();
  }

  /** A peer's frame won't come. */
  fail(peer: Rank, error: CommError): void {
    if (this.isOver) return;
    if (this.events.onFailure?.(peer, error) === true) {
      this.frames[this.peers.indexOf(peer)] = null;
      this.numSilent--;
      this.hasGivenUp = true;
      if (this.numSilent === 0) this.end();
      return;
    }
    const silent = this.silent();
    this.error = namingAll(error, silent);
    this.end();
    for (const other of silent) if (other !== peer) this.source.leave(this, other);
  }

  /** The frames if all are here, else a promise of them: only then a deadline begins. Called once, when the source looked for all of them. */
  outcome(): Frame[] | Promise<Frame[]> {
    if (this.error !== undefined) throw this.error;
    if (this.numSilent === 0) return this.gathered();
    this.deadline = this.source.deadlines.start(this.wait.timeoutMs, () => this.expire());
    this.wait.signal?.addEventListener('abort', this);
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  /** The signal's: the caller gives the wait up. */
  handleEvent(): void {
    const { signal } = this.wait;
    for (const peer of this.silent()) {
      if (!this.isOver) this.source.giveUp(this, peer, abortedError(peer, this.key, signal));
    }
  }

  /** The silent peer that the others waited for, as far as anybody can tell. */
  private get isAlone(): boolean {
    return this.numSilent === 1 && !this.hasGivenUp;
  }

  private silent(): Rank[] {
    return this.peers.filter((_, i) => this.frames[i] === undefined);
  }

  private gathered(): Frame[] {
    return this.hasGivenUp ? this.frames.filter(isFrame) : (this.frames as Frame[]);
  }

  private end(): void {
    this.deadline?.cancel();
    this.wait.signal?.removeEventListener('abort', this);
    if (this.error === undefined) this.resolve?.(this.gathered());
    else this.reject?.(this.error);
  }

  private expire(): void {
    const { graceMs = 0 } = this.events;
    if (graceMs > 0 && !this.isInGrace && !this.isAlone) {
      this.isInGrace = true;
      this.deadline = this.source.deadlines.start(graceMs, () => this.expire());
      return;
    }
    this.accuse();
  }

  private accuse(): void {
    const { timeoutMs } = this.wait;
    for (const peer of this.silent()) {
      if (!this.isOver) this.source.giveUp(this, peer, timeoutError(peer, this.key, timeoutMs));
    }
  }
}

const isFrame = (frame: Frame | undefined | null): frame is Frame => frame !== undefined && frame !== null;

/** A timeout that several peers caused names all of them. */
function namingAll(error: CommError, silent: readonly Rank[]): CommError {
  if (error.code !== 'TIMEOUT' || silent.length < 2) return error;
  const others = silent.filter((rank) => rank !== error.rank).join(', ');
  const { rank, layer, phase, waitedMs } = error;
  const message = `${error.text}; silent too: rank ${others}`;
  return new CommError('TIMEOUT', message, { rank, layer, phase, waitedMs, cause: error });
}
