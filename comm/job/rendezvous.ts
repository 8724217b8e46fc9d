/** The head's side of the start of a job: gathers the ranks, compares what they loaded, lets them link up. */
import { randomBytes } from 'node:crypto';
import { ControlLink } from './control_link.js';
import { Deadline, checkTimeout } from '../base/deadline.js';
import { CommError, errorOfRemote, remoteErrorOf } from '../base/errors.js';
import { textOf } from '../../base/coded_error.js';
import { asRank, MAX_RANKS, type Rank } from '../../base/ids.js';
import { MAX_CONTROL_BYTES, type ControlMessage, type ControlMessageOf } from './messages.js';
import type { OnRefused } from '../ws/door/refusals.js';
import type { TlsOptions } from '../base/tls.js';
import { fingerprintMismatch } from '../ws/ws_mesh.js';
import { WsServer } from '../ws/door/ws_server.js';

export const CONTROL_PATH = '/expertwire/control';

/** What job the head opens, where, and whom it tells of what happens. */
export interface RendezvousOptions {
  readonly host: string;
  /** 0 takes a free one, see `Rendezvous.port`. */
  readonly port: number;
  readonly secret: string;
  /** The head's certificate and who signed the ranks'. Default: no TLS. */
  readonly tls?: TlsOptions | undefined;
  /** Exactly so many ranks make the job. */
  readonly size: number;
  /** Ranks 0 … numReserved − 1 are for those who ask for their number; others get a higher one. Default 0. */
  readonly numReserved?: number | undefined;
  /** Sent to every rank in its welcome: whatever the upper layer wants there. */
  readonly job: unknown;
  /** What ranks agree on, from their offers in the order of ranks, where they make any; what they sent is unchecked. A CommError that it throws fails the job. Default: nothing, undefined. */
  readonly agree?: ((offers: readonly unknown[]) => unknown) | undefined;
  /** Longest time without news (a rank that joins, reports progress, is ready or meshed). Default 60000. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onJoined?: ((rank: Rank, numJoined: number) => void) | undefined;
  /** A rank or stranger that was turned away, and why: each reason once per address, a few a minute. */
  readonly onRefused?: OnRefused | undefined;
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

/** The head's port until all ranks are linked to each other. Afterwards the links of `links()` carry the job; `close` ends them too. */
export class Rendezvous {
  /** Hidden from whoever looks at the object: a secret is in it. */
  readonly #options: RendezvousOptions;
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
  /** Sockets that have not said `join` yet. */
  private readonly arriving = new Set<ControlLink>();
  private closing: Promise<void> | undefined;

  /** Listens and admits ranks. @throws CommError ADDRESS_IN_USE, UNREACHABLE when the host isn't this machine's, or INVALID_ARGUMENT. */
  static async listen(options: RendezvousOptions): Promise<Rendezvous> {
    const { host, port, size, tls, onRefused, timeoutMs = 60000 } = options;
    checkTimeout(timeoutMs);
    if (!Number.isInteger(size) || size < 1 || size > MAX_RANKS) {
      throw new CommError('INVALID_ARGUMENT', `size is ${size}; pass the number of ranks, from 1 to ${MAX_RANKS}`);
    }
    const limits = { path: CONTROL_PATH, maxPayload: MAX_CONTROL_BYTES };
    const server = await WsServer.listen({ host, port, tls, onRefused, ...limits });
    return new Rendezvous(options, server);
  }

  private constructor(
    options: RendezvousOptions,
    private readonly server: WsServer,
  ) {
    this.#options = options;
    this.members = new Array<Member | undefined>(options.size).fill(undefined);
    this.settle = { resolve: () => undefined, reject: () => undefined };
    this.whenLinked = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    // Whoever never asks for the links isn't punished by an unhandled rejection.
    this.whenLinked.catch(() => undefined);
    options.signal?.addEventListener('abort', this.onAbort);
    if (options.signal?.aborted === true) this.onAbort();
    this.restartDeadline();
    this.acceptPeers();
  }

  get host(): string {
    return this.server.host;
  }

  get port(): number {
    return this.server.port;
  }

  /**
   * One link per rank, once all ranks are linked to each other.
   * @throws CommError TIMEOUT, PEER_LOST, FINGERPRINT_MISMATCH, ABORTED, CLOSED, or what a rank failed with
   */
  links(): Promise<readonly ControlLink[]> {
    return this.whenLinked;
  }

  /** Idempotent: closes the port and all links. */
  close(): Promise<void> {
    this.fail(new CommError('CLOSED', 'the rendezvous was closed before all ranks were linked; start the job again'));
    this.closing ??= this.shut();
    return this.closing;
  }

  private readonly onAbort = (): void => {
    const { signal } = this.#options;
    this.fail(
      new CommError('ABORTED', 'the caller ended the rendezvous; start the job again', { cause: signal?.reason }),
    );
  };

  private async shut(): Promise<void> {
    const links = [...this.members.map((member) => member?.link), ...this.arriving];
    await Promise.all(links.map(async (link) => link?.close()));
    await this.server.close();
  }

  private acceptPeers(): void {
    this.server.onPeer({
      ...{ secret: this.#options.secret, purpose: 'control' },
      admit: () => undefined,
      onPeer: (ws, socket) => this.arrive(new ControlLink(ws, socket)),
    });
  }

  private arrive(link: ControlLink): void {
    this.arriving.add(link);
    void link.closed.then(() => this.arriving.delete(link));
    link.onMessage((message) => {
      this.arriving.delete(link);
      this.join(link, message);
    });
  }

  private join(link: ControlLink, message: ControlMessage): void {
    if (this.failure !== undefined) {
      link.send({ type: 'failed', error: remoteErrorOf(this.failure) });
      void link.close();
      return;
    }
    const rank = this.seatOf(message);
    if (rank instanceof CommError) {
      this.server.refuse(link.remoteAddress, rank);
      link.send({ type: 'failed', error: remoteErrorOf(rank) });
      void link.close();
      return;
    }
    const member: Member = { link };
    this.members[rank] = member;
    link.onMessage((next) => this.onMessage(rank, member, next));
    void link.closed.then((why) => this.onClosed(rank, why.kind === 'lost' ? why.why : 'closed'));
    this.restartDeadline();
    link.send({ type: 'welcome', rank, size: this.#options.size, job: this.#options.job });
    this.#options.onJoined?.(rank, this.joined().length);
  }

  /** The rank number for a newcomer, or why there is none. */
  private seatOf(message: ControlMessage): Rank | CommError {
    const { size } = this.#options;
    if (message.type !== 'join')
      return new CommError('PROTOCOL', `'${message.type}' before 'join'; run the same build everywhere`);
    if (this.isSettled || this.joined().length === size) {
      return new CommError(
        'INVALID_ARGUMENT',
        `the job already has its ${size} ranks; start no more, or the head with more`,
      );
    }
    const rank = message.rank ?? this.members.indexOf(undefined, this.#options.numReserved);
    if (rank === -1) {
      return new CommError(
        'INVALID_ARGUMENT',
        `the job of ${size} ranks waits only for ranks that the head starts; start no more, or the head with more`,
      );
    }
    if (rank >= size) {
      return new CommError(
        'INVALID_ARGUMENT',
        `rank ${rank} asked to join a job of ${size} ranks; pass 0 to ${size - 1}`,
      );
    }
    if (this.members[rank] !== undefined) {
      return new CommError('INVALID_ARGUMENT', `rank ${rank} has joined already; start each rank once`);
    }
    return asRank(rank);
  }

  private onMessage(rank: Rank, member: Member, message: ControlMessage): void {
    this.restartDeadline();
    switch (message.type) {
      case 'progress':
        this.#options.onProgress?.(rank, message);
        return;
      case 'offer':
        if (member.offer !== undefined) return this.fail(outOfTurn(rank, message));
        member.offer = message;
        this.settleOffers();
        return;
      case 'ready':
        member.ready = message;
        this.introduce();
        return;
      case 'meshed':
        member.isMeshed = true;
        {
          this.finish(member);
          return;
        }
      case 'failed': {
        this.onFailed(rank, errorOfRemote(message.error));
        return;
      }
      case 'join':
      case 'welcome':
      case 'agreed':
      case 'peers':
      case 'job':
      case 'shutdown': {
        this.fail(outOfTurn(rank, message));
        return;
      }
    }
  }

  /** Once all have made an offer: tells everyone what they agree on. */
  private settleOffers(): void {
    const offers = this.joined().flatMap(({ offer }) => offer ?? []);
    if (offers.length < this.#options.size) return;
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
    if (ready.length < this.#options.size) return;
    const { fingerprint } = ready[0]!;
    const other = ready.findIndex((message) => message.fingerprint !== fingerprint);
    if (other !== -1) {
      this.fail(fingerprintMismatch(other, ready[other]!.fingerprint, 0, fingerprint));
      return;
    }
    const unreachable = unreachableOf(ready);
    if (unreachable !== undefined) {
      this.fail(unreachable);
      return;
    }
    const addresses = ready.map(({ host, port }) => ({ host, port }));
    const jobId = randomBytes(16).toString('hex');
    for (const { link } of this.joined()) link.send({ type: 'peers', addresses, fingerprint, jobId });
  }

  private finish(member: Member): void {
    // From here on messages wait in the link for the head's own handler.
    member.link.onMessage(undefined);
    const members = this.joined();
    if (members.length < this.#options.size || members.some(({ isMeshed }) => isMeshed !== true)) return;
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
    const { size } = this.#options;
    const ranks = [...this.members.keys()];
    const late = ranks.filter((rank) => this.members[rank]?.isMeshed !== true);
    const inPhase = (what: string, phase: (member: Member | undefined) => boolean): string[] => {
      const some = late.filter((rank) => phase(this.members[rank]));
      return some.length === 0 ? [] : [`${what} rank ${some.join(', ')}`];
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
    for (const { link } of this.joined()) {
      if (!link.isOpen) continue;
      link.send({ type: 'failed', error: remoteErrorOf(error) });
      void link.close();
    }
  }

  private settled(): void {
    this.isSettled = true;
    clearTimeout(this.accusation);
    this.deadline?.cancel();
    this.#options.signal?.removeEventListener('abort', this.onAbort);
  }
}

const outOfTurn = (rank: Rank, { type }: ControlMessage): CommError =>
  new CommError('PROTOCOL', `rank ${rank} sent '${type}' before it was meshed`, { rank });

function failureOf(rank: Rank, cause: CommError): CommError {
  const message = `rank ${rank} failed before the job started: ${cause.text}`;
  return new CommError(cause.code, message, { rank, phase: 'join', remote: cause.remote, cause });
}

/** What a witness tells of another rank. */
function accusationOf(witness: Rank, cause: CommError): CommError {
  const message = textOf({
    advice: cause.advice,
    reason: `${cause.reason}, says rank ${witness} before the job started`,
  });
  return new CommError(cause.code, message, { rank: cause.rank, phase: 'join', cause });
}

const isLoopback = (host: string): boolean => host === '::1' || host === 'localhost' || host.startsWith('127.');

/** A rank that only its own machine can reach, in a job that spans machines. */
function unreachableOf(ready: readonly ControlMessageOf<'ready'>[]): CommError | undefined {
  const local = ready.findIndex(({ host }) => isLoopback(host));
  const remote = ready.findIndex(({ host }) => !isLoopback(host));
  if (local === -1 || remote === -1) return undefined;
  const message =
    `rank ${local} is at ${ready[local]!.host}, which rank ${remote} at ${ready[remote]!.host} can't reach; ` +
    `start rank ${local} with the head's network address or advertise one`;
  return new CommError('UNREACHABLE', message, { rank: asRank(local), phase: 'join' });
}
