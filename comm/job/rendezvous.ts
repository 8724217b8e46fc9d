/** The head's side of the start of a job: gathers the ranks, compares what they loaded, lets them link up. */
import { randomBytes } from 'node:crypto';
import { dismiss, type ControlLink } from './control_link.js';
import { ControlPort, type ControlPortOptions } from './control_port.js';
import { Deadline, checkTimeout } from '../base/deadline.js';
import { CommError, errorOfRemote } from '../base/errors.js';
import { asRank, MAX_RANKS, type Rank } from '../../base/ids.js';
import type { ControlMessage, ControlMessageOf } from './messages.js';
import { Door, type DoorOptions, type DoorStart } from './door.js';
import { accusationOf, failureOf, outOfTurn, unreachableOf } from './join_errors.js';
import { fingerprintMismatch } from '../ws/ws_mesh.js';

/** What job the head opens, where, and whom it tells of what happens. */
export interface RendezvousOptions extends ControlPortOptions {
  /** How many ranks the job may have at a time. */
  readonly size: number;
  /** Exactly so many begin it, ranks 0 … numFirst − 1. Default `size`. */
  readonly numFirst?: number | undefined;
  /** Others may come while the job runs: those who come before {@link Rendezvous.stayOpen} wait for it. Default false. */
  readonly staysOpen?: boolean | undefined;
  /** Ranks 0 … numReserved − 1 are for those who ask for their number; others get a higher one. Default 0. */
  readonly numReserved?: number | undefined;
  /** Sent to every rank in its welcome: whatever the upper layer wants there. */
  readonly job: unknown;
  /** What ranks agree on, from their offers in the order of ranks, where they make any; what they sent is unchecked. A CommError that it throws fails the job. Default: nothing, undefined. */
  readonly agree?: ((offers: readonly unknown[]) => unknown) | undefined;
  /** Longest time without news (a rank that joins, reports progress, is ready or meshed). Default 60000. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A rank has its number, and begins to load; `numJoined` have so far. */
  readonly onJoined?: ((rank: Rank, numJoined: number) => void) | undefined;
  /** A rank says how far it is with loading. */
  readonly onProgress?: ((rank: Rank, progress: ControlMessageOf<'progress'>) => void) | undefined;
}

/** How long a witness's word waits for the cause: less than it takes a process to end and its parent to ask why. */
const ACCUSED_MS = 150;

interface Member {
  readonly link: ControlLink;
  offer?: ControlMessageOf<'offer'>;
  ready?: ControlMessageOf<'ready'>;
  isMeshed?: true;
}

/**
 * The head's port until the first ranks are linked to each other, and behind `stayOpen` as long as the job runs. The links of `links()` carry the job; `close`
 * ends them too.
 */
export class Rendezvous {
  /** Hidden from whoever looks at the object: a secret is in it. */
  readonly #options: RendezvousOptions;
  private readonly numFirst: number;
  private readonly members: (Member | undefined)[];
  private readonly whenLinked: Promise<readonly ControlLink[]>;
  private settle: { resolve(links: readonly ControlLink[]): void; reject(error: CommError): void };
  private deadline: Deadline | undefined;
  /** What a witness said waits for something nearer the cause. */
  private accusation: NodeJS.Timeout | undefined;
  private readonly witnesses = new Set<Rank>();
  private isSettled = false;
  /** Why the job never began. */
  private failure: CommError | undefined;
  /** What all first ranks loaded, and the id of their job. */
  private introduced: Pick<DoorStart, 'fingerprint' | 'jobId'> | undefined;
  private closing: Promise<void> | undefined;

  /** Listens and admits ranks. @throws CommError ADDRESS_IN_USE, UNREACHABLE when the host isn't this machine's, or INVALID_ARGUMENT. */
  static async listen(options: RendezvousOptions): Promise<Rendezvous> {
    const { size, numFirst = size, timeoutMs = 60000 } = options;
    checkTimeout(timeoutMs);
    if (!Number.isInteger(size) || size < 1 || size > MAX_RANKS) {
      throw new CommError('INVALID_ARGUMENT', `size is ${size}; pass the number of ranks, from 1 to ${MAX_RANKS}`);
    }
    if (!Number.isInteger(numFirst) || numFirst < 1 || numFirst > size) {
      throw new CommError(
        'INVALID_ARGUMENT',
        `numFirst is ${numFirst}; pass the number of first ranks, from 1 to ${size}`,
      );
    }
    return new Rendezvous(options, await ControlPort.listen(options));
  }

  private constructor(
    options: RendezvousOptions,
    private readonly entry: ControlPort,
  ) {
    this.#options = options;
    this.numFirst = options.numFirst ?? options.size;
    this.members = new Array<Member | undefined>(this.numFirst).fill(undefined);
    this.settle = { resolve: () => undefined, reject: () => undefined };
    this.whenLinked = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    // Whoever never asks for the links isn't punished by an unhandled rejection.
    this.whenLinked.catch(() => undefined);
    options.signal?.addEventListener('abort', this.onAbort);
    if (options.signal?.aborted === true) this.onAbort();
    this.restartDeadline();
    entry.accept((link, message) => this.arrived(link, message));
  }

  get host(): string {
    return this.entry.host;
  }

  get port(): number {
    return this.entry.port;
  }

  /**
   * One link per first rank, once all of them are linked to each other.
   * @throws CommError TIMEOUT, PEER_LOST, FINGERPRINT_MISMATCH, ABORTED, CLOSED, or what a rank failed with
   */
  links(): Promise<readonly ControlLink[]> {
    return this.whenLinked;
  }

  /** Lets others in from now on, those first who wait already. Once, behind `links`, where it `staysOpen`. */
  stayOpen(options: DoorOptions): Door {
    const seats = Array.from({ length: this.#options.size }, (_, rank) => {
      const member = this.members[rank];
      return member && { link: member.link, host: member.ready!.host, port: member.ready!.port };
    });
    const door = new Door({ seats, ...this.introduced!, refuse: this.entry.refuse }, options);
    this.entry.openTo(door);
    return door;
  }

  /** Idempotent: closes the port and all links. */
  close(): Promise<void> {
    this.fail(new CommError('CLOSED', 'the rendezvous was closed before all ranks were linked; start the job again'));
    this.closing ??= this.entry.close();
    return this.closing;
  }

  private readonly onAbort = (): void => {
    const { signal } = this.#options;
    this.fail(
      new CommError('ABORTED', 'the caller ended the rendezvous; start the job again', { cause: signal?.reason }),
    );
  };

  private arrived(link: ControlLink, message: ControlMessage): void {
    const rank = this.failure ?? this.seatOf(message);
    if (typeof rank === 'number') this.join(link, rank);
    else if (rank === 'later') this.entry.keep(link, message);
    else if (this.failure === undefined) this.entry.turnAway(link, rank);
    else dismiss(link, rank);
  }

  private join(link: ControlLink, rank: Rank): void {
    const member: Member = { link };
    this.members[rank] = member;
    link.onMessage((next) => this.onMessage(rank, member, next));
    void link.closed.then((why) => this.onClosed(rank, why.kind === 'lost' ? why.why : 'closed'));
    this.restartDeadline();
    link.send({ type: 'welcome', rank, size: this.#options.size, job: this.#options.job });
    this.#options.onJoined?.(rank, this.joined().length);
  }

  /** The rank number for a newcomer; 'later': where the job stays open, it may still get one; or why there is none. */
  private seatOf(message: ControlMessage): Rank | 'later' | CommError {
    const { numFirst } = this;
    const { numReserved, staysOpen = false } = this.#options;
    if (message.type !== 'join')
      return new CommError('PROTOCOL', `'${message.type}' before 'join'; run the same build everywhere`);
    if (message.back !== undefined) {
      const what = 'this head begins a job, and the rank comes back from the head of another one';
      return new CommError('INVALID_ARGUMENT', `${what}; take its ranks back with serve --resume, or start it again`);
    }
    const invalid = (what: string): 'later' | CommError =>
      staysOpen ? 'later' : new CommError('INVALID_ARGUMENT', what);
    if (this.isSettled || this.joined().length === numFirst)
      return invalid(`the job already has its ${numFirst} ranks; start no more, or the head with more`);
    const rank = message.rank ?? this.members.indexOf(undefined, numReserved);
    if (rank === -1) {
      const what = `the job of ${numFirst} ranks waits only for ranks that the head starts`;
      return invalid(`${what}; start no more, or the head with more`);
    }
    if (rank >= numFirst)
      return invalid(`rank ${rank} asked to join a job of ${numFirst} ranks; pass 0 to ${numFirst - 1}`);
    if (this.members[rank] !== undefined) return invalid(`rank ${rank} has joined already; start each rank once`);
    return asRank(rank);
  }

  private onMessage(rank: Rank, member: Member, message: ControlMessage): void {
    this.restartDeadline();
    if (message.type === 'progress') this.#options.onProgress?.(rank, message);
    else if (message.type === 'failed') this.onFailed(rank, errorOfRemote(message.error));
    else if (message.type === 'offer' && member.offer === undefined) {
      member.offer = message;
      this.settleOffers();
    } else if (message.type === 'ready') {
      member.ready = message;
      this.introduce();
    } else if (message.type === 'meshed') {
      member.isMeshed = true;
      this.finish(member);
    } else this.fail(outOfTurn(rank, message));
  }

  /** Once all have made an offer: tells everyone what they agree on. */
  private settleOffers(): void {
    const offers = this.joined().flatMap(({ offer }) => offer ?? []);
    if (offers.length < this.numFirst) return;
    const bodies = offers.map((offer) => offer.body);
    let body: unknown;
    try {
      body = this.#options.agree?.(bodies);
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      return this.fail(error);
    }
    for (const { link } of this.joined()) link.send({ type: 'agreed', body });
  }

  /** Once all are ready: compares what they loaded and tells everyone where everyone listens. */
  private introduce(): void {
    const ready = this.joined().flatMap((member) => member.ready ?? []);
    if (ready.length < this.numFirst) return;
    const { fingerprint } = ready[0]!;
    const other = ready.findIndex((message) => message.fingerprint !== fingerprint);
    if (other !== -1) {
      this.fail(fingerprintMismatch(other, ready[other]!.fingerprint, 0, fingerprint));
      return;
    }
    const unreachable = unreachableOf(new Map(ready.map(({ host }, rank) => [rank, host])));
    if (unreachable !== undefined) {
      this.fail(unreachable);
      return;
    }
    const addresses = Array.from({ length: this.#options.size }, (_, rank) => {
      const known = ready[rank];
      return known === undefined ? null : { host: known.host, port: known.port };
    });
    const jobId = randomBytes(16).toString('hex');
    this.introduced = { fingerprint, jobId };
    for (const { link } of this.joined()) link.send({ type: 'peers', addresses, fingerprint, jobId });
  }

  private finish(member: Member): void {
    // From here on messages wait in the link for the head's own handler.
    member.link.onMessage(undefined);
    const members = this.joined();
    if (members.length < this.numFirst || members.some(({ isMeshed }) => isMeshed !== true)) return;
    this.settled();
    this.settle.resolve(members.map(({ link }) => link));
  }

  /** A rank that complains about another one is a witness: what became of that one is told in a moment, by its own words or its connection's end. */
  private onFailed(rank: Rank, error: CommError): void {
    if (error.rank === undefined || error.rank === rank) return this.fail(failureOf(rank, error));
    this.witnesses.add(rank);
    this.accusation ??= setTimeout(() => this.fail(accusationOf(rank, error)), ACCUSED_MS);
  }

  private onClosed(rank: Rank, why: string): void {
    if (this.witnesses.has(rank)) return; // it said why it goes
    const message = `rank ${rank} left before the job started: ${why}; look at the log of rank ${rank}`;
    this.fail(new CommError('PEER_LOST', message, { rank, phase: 'join' }));
  }

  private joined(): Member[] {
    return this.members.filter((member) => member !== undefined);
  }

  private restartDeadline(): void {
    this.deadline?.cancel();
    if (this.isSettled) return;
    const { timeoutMs = 60000 } = this.#options;
    this.deadline = new Deadline(timeoutMs, () => this.fail(this.timeoutError(timeoutMs)));
  }

  private timeoutError(waitedMs: number): CommError {
    const size = this.numFirst;
    const ranks = [...this.members.keys()];
    const late = ranks.filter((rank) => this.members[rank]?.isMeshed !== true);
    const inPhase = (what: string, phase: (member: Member | undefined) => boolean): string[] => {
      const some = late.filter((rank) => phase(this.members[rank]));
      const placed = some.map((rank) => [rank, this.members[rank]?.ready] as const);
      const named = placed.map(([rank, at]) => (at === undefined ? `${rank}` : `${rank} at ${at.host}:${at.port}`));
      return some.length === 0 ? [] : [`${what} rank ${named.join(', ')}`];
    };
    const waiting = [
      ...inPhase('not joined:', (member) => member === undefined),
      ...inPhase('loading:', (member) => member !== undefined && member.ready === undefined && !this.waits(member)),
      ...inPhase('waiting for the others:', (member) => member !== undefined && this.waits(member)),
      ...inPhase('not linked yet:', (member) => member?.ready !== undefined),
    ];
    const message =
      `no news in ${waitedMs} ms: ${this.joined().length} of ${size} ranks joined (${waiting.join(', ')}); ` +
      'look at their logs or wait longer (--join-timeout)';
    const progress = (rank: number): number => {
      const member = this.members[rank];
      if (member === undefined) return 0;
      if (member.ready !== undefined) return 3;
      return this.waits(member) ? 2 : 1;
    };
    const [last = 0] = late.toSorted((a, b) => progress(a) - progress(b));
    return new CommError('TIMEOUT', message, { rank: asRank(last), phase: 'join', waitedMs });
  }

  /** Whether it made its offer, and others didn't: it does nothing before they have. */
  private waits({ offer }: Member): boolean {
    return offer !== undefined && this.members.some((member) => member?.offer === undefined);
  }

  /** Ends the job before it began, on every rank. */
  private fail(error: CommError): void {
    if (this.isSettled) return;
    this.settled();
    this.failure = error;
    this.settle.reject(error);
    for (const { link } of this.joined()) if (link.isOpen) dismiss(link, error);
  }

  private settled(): void {
    this.isSettled = true;
    clearTimeout(this.accusation);
    this.deadline?.cancel();
    this.#options.signal?.removeEventListener('abort', this.onAbort);
  }
}
