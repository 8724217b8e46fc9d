/**
 * The head's side of a running job: ranks that come later load, link up with every rank that is there, and are candidates then. Whatever befalls one of
 * them before that changes nothing for the others.
 * Why: docs/decisions/elastic.md#the-door-stays-open
 */
import { randomBytes } from 'node:crypto';
import { Deadline } from '../base/deadline.js';
import { CommError, errorOfRemote } from '../base/errors.js';
import { causeText } from '../../base/foreign_text.js';
import { asRank, type Rank } from '../../base/ids.js';
import type { Address } from '../ws/door/dial.js';
import { fingerprintMismatch } from '../ws/ws_mesh.js';
import { dismiss, type ControlLink } from './control_link.js';
import { cameTooLate, notJoined, outOfTurn, unreachableOf } from './join_errors.js';
import type { ControlMessage, ControlMessageOf } from './messages.js';
import { Pairs } from './pairs.js';

/** A rank that has loaded and is linked to every other: what is left is to take it in. */
export interface Candidate {
  readonly rank: Rank;
  /** From now on its owner's; messages queue until `onMessage`. Those about links are for {@link Door.hear}. */
  readonly link: ControlLink;
}

/** What newcomers are told, and who is told of them. */
export interface DoorOptions {
  /** What the job is for who takes this seat: the `job` of its welcome. */
  welcome(rank: Rank): unknown;
  /** What a newcomer does, from the offer of what it can do, which is unchecked. @throws CommError why it can't take part */
  agree(offer: unknown): unknown;
  /** The fingerprint of the same files by another proof, for a newcomer whose own isn't that of the first ranks. Default: there is none. */
  readonly otherProof?: (() => Promise<string>) | undefined;
  /** Longest time without news of a newcomer while it loads, and for linking up. Default 60000. */
  readonly timeoutMs?: number | undefined;
  /** Somebody took a seat and begins to load. */
  readonly onJoined?: ((rank: Rank) => void) | undefined;
  /** It says how far it is with loading. */
  readonly onProgress?: ((rank: Rank, progress: ControlMessageOf<'progress'>) => void) | undefined;
  /** A newcomer has loaded, and is linked up with all ranks: a step may count on it. */
  onCandidate(candidate: Candidate): void;
  /** A newcomer that won't come after all, and why; its seat is free again. */
  onFailed(rank: Rank, error: CommError): void;
}

/** A rank of the job, as the door needs to know it. */
export interface SeatedRank extends Address {
  readonly link: Pick<ControlLink, 'isOpen' | 'send'>;
}

/** What the door goes on with when all first ranks are linked. */
export interface DoorStart {
  /** By seat; undefined where nobody is. */
  readonly seats: readonly (SeatedRank | undefined)[];
  readonly fingerprint: string;
  readonly jobId: string;
  /** Told of who is turned away. */
  refuse(from: string, error: CommError): void;
}

/** Somebody who has a seat and isn't linked to all others yet. */
interface Newcomer {
  readonly link: ControlLink;
  deadline: Deadline | undefined;
  hasOffered: boolean;
  hasLoaded: boolean;
  /** Of its data port, once it has loaded. */
  address: Address | undefined;
  isMeshed: boolean;
  /** What it said to who will own its link. */
  readonly early: ControlMessage[];
}

/** More than a rank says before it is taken in. */
const MAX_EARLY = 16;

/** Seats, and who comes to take them. */
export class Door {
  private readonly present = new Map<Rank, SeatedRank>();
  /** In the order in which they came. */
  private readonly newcomers = new Map<Rank, Newcomer>();
  private readonly pairs = new Pairs();

  constructor(
    private readonly start: DoorStart,
    private readonly options: DoorOptions,
  ) {
    for (const [rank, seat] of start.seats.entries()) if (seat !== undefined) this.present.set(asRank(rank), seat);
  }

  /** A newcomer's first message: it gets the seat that it asks for, where that is free, or the lowest that is; or it is told why not. */
  join(link: ControlLink, message: ControlMessage): void {
    const rank = this.seatFor(message);
    if (rank instanceof CommError) {
      this.start.refuse(link.remoteAddress, rank);
      return dismiss(link, rank);
    }
    const newcomer: Newcomer = {
      ...{ link, deadline: undefined, hasOffered: false, hasLoaded: false, address: undefined, isMeshed: false },
      early: [],
    };
    this.newcomers.set(rank, newcomer);
    this.restartDeadline(rank, newcomer, 'said nothing');
    link.onMessage((next) => this.onMessage(rank, newcomer, next));
    void link.closed.then((why) => {
      if (this.newcomers.get(rank) !== newcomer) return;
      const how = why.kind === 'lost' ? why.why : 'closed';
      this.fail(rank, new CommError('PEER_LOST', `its connection ended (${how}); look at its log`, { rank }));
    });
    link.send({ type: 'welcome', rank, size: this.start.seats.length, job: this.options.welcome(rank) });
    this.options.onJoined?.(rank);
  }

  /** For the owner of a rank's link: what that rank says of its link to another. */
  hear(from: Rank, message: ControlMessageOf<'linked' | 'unlinked'>): void {
    const other = asRank(message.rank);
    if (message.type === 'linked') {
      this.pairs.linked(from, other, message.ticket);
      return this.takeThoseLinked();
    }
    const next = this.pairs.failed(from, other, message.ticket);
    if (next === 'try_again') this.introduce(from, other);
    if (next === 'give_up') this.fail(this.laterOf(from, other), errorOfRemote(message.error));
  }

  /** A rank that was a candidate is lost or has left: its seat is free, and all others drop their links to it. Its control link is its owner's. */
  vacate(rank: Rank, reason: string): void {
    if (this.present.delete(rank)) this.forget(rank, reason);
  }

  /** Sends those away who are still coming. */
  close(error: CommError): void {
    for (const rank of [...this.newcomers.keys()]) this.fail(rank, error);
  }

  private seatFor(message: ControlMessage): Rank | CommError {
    if (message.type !== 'join')
      return new CommError('PROTOCOL', `'${message.type}' before 'join'; run the same build everywhere`);
    if (message.back !== undefined) return cameTooLate();
    const { length: size } = this.start.seats;
    const isFree = (rank: number): boolean =>
      rank < size && !this.present.has(asRank(rank)) && !this.newcomers.has(asRank(rank));
    if (message.rank !== undefined && isFree(message.rank)) return asRank(message.rank);
    const free = Array.from({ length: size }, (_, rank) => rank).find(isFree);
    if (free !== undefined) return asRank(free);
    const what = `all ${size} places of the running job are taken`;
    return new CommError('LIMIT', `${what}; start no more ranks, or the head with a higher parallel.max_ranks`);
  }

  private onMessage(rank: Rank, newcomer: Newcomer, message: ControlMessage): void {
    try {
      this.obey(rank, newcomer, message);
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      this.fail(rank, error);
    }
  }

  /** @throws CommError why it can't come */
  private obey(rank: Rank, newcomer: Newcomer, message: ControlMessage): void {
    if (message.type === 'failed') throw errorOfRemote(message.error);
    if (message.type === 'linked' || message.type === 'unlinked') return this.hear(rank, message);
    if (newcomer.isMeshed) {
      if (message.type !== 'job' || newcomer.early.length === MAX_EARLY) throw outOfTurn(rank, message);
      newcomer.early.push(message);
      return;
    }
    this.restartDeadline(rank, newcomer, 'said nothing');
    if (message.type === 'progress') this.options.onProgress?.(rank, message);
    else if (message.type === 'offer' && !newcomer.hasOffered) {
      newcomer.hasOffered = true;
      newcomer.link.send({ type: 'agreed', body: this.options.agree(message.body) });
    } else if (message.type === 'ready' && !newcomer.hasLoaded) {
      newcomer.hasLoaded = true;
      this.compare(rank, newcomer, message);
    } else if (message.type === 'meshed' && newcomer.address !== undefined) this.introduceToAll(rank, newcomer);
    else throw outOfTurn(rank, message);
  }

  /** It has loaded, what the others have. @throws CommError FINGERPRINT_MISMATCH */
  private compare(rank: Rank, newcomer: Newcomer, ready: ControlMessageOf<'ready'>): void {
    const { otherProof } = this.options;
    const [other = rank] = this.present.keys();
    const check = (wanted: string): void => {
      if (ready.fingerprint !== wanted) throw fingerprintMismatch(rank, ready.fingerprint, other, wanted);
    };
    if (otherProof === undefined || ready.fingerprint === this.start.fingerprint) {
      check(this.start.fingerprint);
      return this.seat(rank, newcomer, ready);
    }
    newcomer.deadline?.cancel(); // it waits for this side
    const isHere = (): boolean => this.newcomers.get(rank) === newcomer;
    const compared = otherProof().then((wanted) => {
      if (!isHere()) return;
      check(wanted);
      this.restartDeadline(rank, newcomer, 'said nothing');
      this.seat(rank, newcomer, ready);
    });
    compared.catch((error: unknown) => {
      if (isHere()) this.fail(rank, commErrorOf(error, rank));
    });
  }

  /** It may open its mesh, where nobody is yet. @throws CommError UNREACHABLE */
  private seat(rank: Rank, newcomer: Newcomer, { host, port }: ControlMessageOf<'ready'>): void {
    const { seats, fingerprint, jobId } = this.start;
    const hosts = new Map([...this.present].map(([present, { host: at }]) => [Number(present), at]));
    const unreachable = unreachableOf(hosts.set(rank, host));
    if (unreachable !== undefined) throw unreachable;
    newcomer.address = { host, port };
    newcomer.link.send({ type: 'peers', addresses: seats.map(() => null), fingerprint, jobId });
  }

  private introduceToAll(rank: Rank, newcomer: Newcomer): void {
    newcomer.isMeshed = true;
    this.restartDeadline(rank, newcomer, 'was not linked to all others');
    for (const other of this.linkable()) if (other !== rank) this.introduce(rank, other);
    this.takeThoseLinked();
  }

  /** Whoever may link up with others, by rank. */
  private linkable(): Rank[] {
    const meshed = [...this.newcomers].filter(([, { isMeshed }]) => isMeshed).map(([rank]) => rank);
    return [...this.present.keys(), ...meshed];
  }

  private introduce(a: Rank, b: Rank): void {
    const ticket = randomBytes(16).toString('hex');
    this.pairs.begin(a, b, ticket);
    for (const [to, about] of [
      [a, b],
      [b, a],
    ] as const) {
      const { host, port } = this.addressOf(about);
      this.tell(to, { type: 'admit', rank: about, ticket, host, port });
    }
  }

  private addressOf(rank: Rank): Address {
    return this.present.get(rank) ?? this.newcomers.get(rank)!.address!;
  }

  private tell(rank: Rank, message: ControlMessage): void {
    const link = (this.present.get(rank) ?? this.newcomers.get(rank))?.link;
    if (link?.isOpen === true) link.send(message);
  }

  /** Newcomers that are linked to all who are present are candidates, which others must be linked to from now on. */
  private takeThoseLinked(): void {
    for (const [rank, { link, deadline, address, isMeshed, early }] of this.newcomers) {
      if (!isMeshed || this.pairs.openWith(rank).some((other) => this.present.has(other))) continue;
      deadline?.cancel();
      this.newcomers.delete(rank);
      this.present.set(rank, { ...address!, link });
      link.onMessage(undefined);
      link.putBack(early);
      this.options.onCandidate({ rank, link });
    }
  }

  /** Of two that can't link up: the newcomer, or who came last. */
  private laterOf(a: Rank, b: Rank): Rank {
    const order = [...this.newcomers.keys()];
    return order.indexOf(a) > order.indexOf(b) ? a : b;
  }

  private fail(rank: Rank, cause: CommError): void {
    const newcomer = this.newcomers.get(rank);
    if (newcomer === undefined) return;
    newcomer.deadline?.cancel();
    this.newcomers.delete(rank);
    const error = notJoined(rank, cause);
    dismiss(newcomer.link, error);
    this.options.onFailed(rank, error);
    if (newcomer.isMeshed) this.forget(rank, error.text);
  }

  private forget(rank: Rank, reason: string): void {
    this.pairs.forget(rank);
    for (const other of this.linkable()) if (other !== rank) this.tell(other, { type: 'dismiss', rank, reason });
    this.takeThoseLinked();
  }

  private restartDeadline(rank: Rank, newcomer: Newcomer, what: string): void {
    const { timeoutMs = 60000 } = this.options;
    newcomer.deadline?.cancel();
    newcomer.deadline = new Deadline(timeoutMs, () => {
      const message = `it ${what} in ${timeoutMs} ms; look at its log, or wait longer (--join-timeout)`;
      this.fail(rank, new CommError('TIMEOUT', message, { rank, waitedMs: timeoutMs }));
    });
  }
}

/** What kept this side from comparing is the newcomer's bad luck. */
function commErrorOf(error: unknown, rank: Rank): CommError {
  if (error instanceof CommError) return error;
  const message = `its checkpoint can't be compared (${causeText(error)}); look at the head's model folder`;
  return new CommError('FINGERPRINT_MISMATCH', message, { rank, cause: error });
}
