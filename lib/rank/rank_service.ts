/**
 * What a rank does once it is linked to the others: obeys its head until the job ends. Where the job gives it grace, it outlives its head with all that it holds, and
 * looks for another one at the same address. Why: docs/decisions/elastic.md#a-head-is-one-of-several-in-a-row
 */
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { CommError, errorOfRemote, remoteErrorOf } from '../../comm/base/errors.js';
import { Admissions } from '../../comm/job/admissions.js';
import type { JoinedRank } from '../../comm/job/join.js';
import type { Mesh } from '../../comm/mesh/mesh.js';
import type { Crew } from '../../compute/wasm/threads/crew.js';
import { EngineError } from '../protocol/errors.js';
import type { ReturningRank } from '../protocol/standing.js';
import type { EndedNeighbour, HeadToRank, LoadReport, RankToHead } from '../protocol/step_plan.js';
import { jobOf } from './loaded_rank.js';
import type { Handover } from './handover/handover.js';
import type { RankExecutor } from './rank_executor.js';
import { RankSteps } from './rank_steps.js';
import type { RankStore } from './store/rank_store.js';

/** What a rank ended with. */
export interface RankFailure {
  readonly kind: 'failed';
  readonly error: unknown;
  /** It could not start, and the head knows why. */
  readonly isHeadTold: boolean;
}

/** How the life of a rank ended. `left`: the job goes on without it. */
export type RankOutcome = RankFailure | { readonly kind: 'shut_down' | 'left' };

/** Who tells a rank to stop: a signal, or the command that started it, which got one itself and knows what another one means. */
export type StopTeller = 'signal' | 'parent';

/** Whether a process that is told to stop lives on for now; false: it ends at once. */
export type StopHandler = (teller: StopTeller) => boolean;

/** What ends a rank otherwise than its head does. */
export interface Endings {
  readonly signal: AbortSignal;
  /** Has the handler asked first when this process is told to stop. Default: it ends then. */
  readonly takeTermination?: ((handler: StopHandler) => void) | undefined;
  readonly onStanding?: ((standing: Standing) => void) | undefined;
  /** Has what tells the head that another rank of the same command ended. Default: nobody tells it. */
  readonly takeNeighbourEnd?: ((tellHead: (ended: EndedNeighbour) => void) => void) | undefined;
}

/** What a rank is to its job: it takes part from now on; it asked to leave and has to stay, with the head's reason. */
export type Standing = { readonly kind: 'member' } | { readonly kind: 'stays'; readonly reason: string };

/** What a rank serves with. */
export interface RankServiceParts {
  readonly joined: JoinedRank;
  readonly mesh: Mesh;
  readonly executor: RankExecutor;
  /** Null: no sequence goes on in another instance. */
  readonly handover: Handover | null;
  /** Null: nothing is kept of what its cache has no room for. */
  readonly store: RankStore | null;
  /** Threads that compute; null: there are none. */
  readonly crew: Crew | null;
  readonly report: LoadReport;
}

/** How long a rank that lost a peer looks whether it lost its head. */
const HEAD_FIRST_MS = 100;
/** How long a rank that lost a peer waits for what its head says of that: the head gathers words for a moment, and hears this one first. */
const HEAD_WORD_MS = 1000;
/** Who signalled this rank may have signalled its head, too, which then says that all is to end. */
const SAME_SIGNAL_MS = 500;
/** Between two heads that could not be talked to. */
const RETRY_MS = 100;

/** That the head is gone, and nobody takes its place. */
export const headLost = (): EngineError =>
  new EngineError('HEAD_LOST', 'the connection to the head closed; its log says why, start the job again');

/** Plans in the order in which they come, one at a time, until a head shuts the job down or this rank fails. */
export function serveHead(parts: RankServiceParts, endings: Endings): Promise<RankOutcome> {
  return new Promise((resolve) => {
    const service = new RankService(parts, endings, resolve);
    endings.takeTermination?.((teller) => service.askToLeave(teller));
    endings.takeNeighbourEnd?.((ended) => service.tellOfEnd(ended));
    service.attend();
  });
}

class RankService {
  private readonly steps: RankSteps;
  private readonly ending = new AbortController();
  private hasAsked = false;
  private wasSignalled = false;
  private isLastHead = false;
  private isMember = false;

  constructor(
    private readonly parts: RankServiceParts,
    private readonly endings: Endings,
    private readonly onOver: (outcome: RankOutcome) => void,
  ) {
    const { joined, executor, store, crew } = parts;
    const { signal } = endings;
    if (!joined.isNewcomer) this.takePart();
    this.steps = new RankSteps({
      rank: joined.rank,
      executor,
      store,
      onPeerLoss: jobOf(joined).onPeerLoss,
      tell: (message) => this.tell(message),
      onFailed: (error) => void this.failedAt(error),
    });
    const onAbort = (): void => this.fail(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    void crew?.failed.then((error) => this.fail(error));
  }

  /** Obeys the head that there is. */
  attend(): void {
    const { joined, mesh } = this.parts;
    const { link } = joined;
    const admissions = new Admissions({ link, mesh, timeoutMs: jobOf(joined).timeoutMs });
    void link.closed.then(() => this.headGone());
    link.onMessage((message) => {
      if (admissions.take(message)) return;
      if (message.type === 'shutdown') return this.end({ kind: 'shut_down' });
      if (message.type === 'failed') return this.fail(errorOfRemote(message.error));
      if (message.type !== 'job') return;
      const body = message.body as HeadToRank;
      if (body.kind === 'leave') this.end({ kind: 'left' });
      else if (body.kind === 'stay') this.endings.onStanding?.({ kind: 'stays', reason: body.reason });
      else if (body.kind === 'end_grace') this.isLastHead = true;
      else if (body.kind === 'handover') this.parts.handover?.obey(body.order, this.steps.freed);
      else {
        if (body.kind === 'epoch') this.takePart();
        this.steps.take(body);
      }
    });
    if (this.hasAsked) this.tell({ kind: 'leave' }); // of a head that is gone
  }

  /**
   * Told to stop, it asks to leave, where others can go on without it and somebody hears it. False: it ends at once, as with a second signal.
   * Why: docs/decisions/elastic.md#sigterm-asks-the-second-one-ends
   */
  askToLeave(teller: StopTeller): boolean {
    const { joined } = this.parts;
    const isAgain = teller === 'signal' && this.wasSignalled;
    this.wasSignalled ||= teller === 'signal';
    if (isAgain || jobOf(joined).onPeerLoss !== 'recover' || !joined.link.isOpen) return false;
    if (teller === 'parent') this.ask();
    else {
      const wait = delay(SAME_SIGNAL_MS, undefined, { signal: this.ending.signal });
      wait.then(
        () => this.ask(),
        () => undefined,
      );
    }
    return true;
  }

  /** A head that is gone already has other things to say. */
  tellOfEnd(ended: EndedNeighbour): void {
    const { link } = this.parts.joined;
    if (link.isOpen) link.send({ type: 'job', body: { kind: 'neighbour_ended', ...ended } satisfies RankToHead });
  }

  /** Once. With a head that is to end, its ranks do. */
  private ask(): void {
    if (this.hasAsked || this.isLastHead) return;
    this.hasAsked = true;
    this.tell({ kind: 'leave' });
  }

  private takePart(): void {
    if (this.isMember) return;
    this.isMember = true;
    this.endings.onStanding?.({ kind: 'member' });
    this.parts.store?.begin();
  }

  private tell(body: RankToHead): void {
    const { link } = this.parts.joined;
    if (link.isOpen || !this.hasGrace) link.send({ type: 'job', body });
  }

  /** Who was no member yet may not be linked to all others, and holds nothing that the next head can't have again. */
  private get hasGrace(): boolean {
    return jobOf(this.parts.joined).headGraceMs > 0 && this.isMember && !this.isLastHead;
  }

  /** A head that dies takes its ranks along, and their ends may be seen before its own. Without a head nobody waits for a step. */
  private async failedAt(error: unknown): Promise<void> {
    const isPeers = error instanceof CommError;
    if (isPeers && (error.code === 'PEER_LOST' || this.hasGrace)) await delay(HEAD_FIRST_MS);
    if (isPeers && this.hasGrace && !this.parts.joined.link.isOpen) return;
    if (isPeers && error.blames.length > 0) await this.hearFirstCause(error);
    this.fail(error);
  }

  /** Where losses end the job, the head knows best which was the first: ends with its word, where that comes in time. */
  private async hearFirstCause(error: CommError): Promise<void> {
    const { joined } = this.parts;
    if (jobOf(joined).onPeerLoss !== 'fail' || !joined.link.isOpen) return;
    joined.link.send({ type: 'failed', error: { ...remoteErrorOf(error), host: hostname() } });
    await delay(HEAD_WORD_MS, undefined, { signal: this.ending.signal }).catch(() => undefined);
  }

  private headGone(): void {
    this.parts.handover?.reset();
    this.parts.store?.reset();
    if (this.ending.signal.aborted) return;
    if (this.hasGrace) void this.findAnother().catch((error: unknown) => this.fail(error));
    else this.fail(headLost());
  }

  /** @throws EngineError HEAD_LOST where nobody takes its place in time; why another head doesn't take this rank back */
  private async findAnother(): Promise<void> {
    const { joined, executor, store, report } = this.parts;
    const { headGraceMs, numKvBlocks, digest } = jobOf(joined);
    const untilMs = performance.now() + headGraceMs;
    await this.steps.pause();
    executor.forget([...Array(numKvBlocks).keys()]);
    store?.reset(); // what steps kept meanwhile
    const said: ReturningRank = { digest, report, ...executor.standing };
    const signal = AbortSignal.any([this.endings.signal, this.ending.signal]);
    for (;;) {
      const timeoutMs = Math.max(1, untilMs - performance.now());
      try {
        await joined.comeBack(said, { timeoutMs, signal });
        store?.begin();
        this.attend();
        return;
      } catch (error) {
        if (!isPassing(error) || performance.now() + RETRY_MS >= untilMs) throw isPassing(error) ? headLost() : error;
        await delay(RETRY_MS, undefined, { signal });
      }
    }
  }

  private fail(error: unknown): void {
    this.end({ kind: 'failed', error, isHeadTold: false });
  }

  private end(outcome: RankOutcome): void {
    this.ending.abort();
    this.onOver(outcome);
  }
}

/** Nobody is there, or whoever was is gone again: not a word against this rank. */
const isPassing = (error: unknown): boolean =>
  error instanceof CommError &&
  error.remote === undefined &&
  ['UNREACHABLE', 'TIMEOUT', 'CLOSED', 'PEER_LOST'].includes(error.code);
