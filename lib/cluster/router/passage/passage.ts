/**
 * One request on its way: to an instance, and its answer back, whoever dies or takes over meanwhile.
 * Why: docs/decisions/cluster.md#whoever-tells-it-the-client-hears-each-token-once
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ClusterError } from '../../base/errors.js';
import { ApiError } from '../../../server/base/api_error.js';
import type { OfferedParams } from '../../../server/cluster/transfer_params.js';
import type { UpstreamAnswer } from '../upstream/upstream_client.js';
import { UpstreamError } from '../upstream/upstream_error.js';
import type { ClientAnswer } from './client_answer.js';
import type { Leg } from './leg.js';
import { Legs, type FirstLeg, type LegsParts } from './legs.js';
import type { MoveWhy } from './request_story.js';
import { orNull, rollBack, TakeOver } from './take_over.js';
import { Told, type News, type StreamEnd } from './told.js';
import { outputTokensOf } from './usage.js';

/** What a passage is made of. */
export interface PassageParts extends LegsParts {
  readonly client: ClientAnswer;
  /** Aborted when the client is gone, and with an ApiError when what runs is broken off. */
  readonly signal: AbortSignal;
  /** Further instances that it is sent to where one fails before its answer begins. */
  readonly retries: number;
  /** Instances that may go on where one fails later. */
  readonly resumes: number;
  /** Asks an instance for a lease on what it computes. @throws ClusterError MOVE_FAILED */
  readonly offer: (leg: Leg, request: string) => Promise<OfferedParams>;
}

/** How a leg ended. */
type LegEnd =
  /** All is told. */
  | { readonly kind: 'done' }
  /** The client was told that it failed. */
  | { readonly kind: 'failed' }
  /** Nobody listens. */
  | { readonly kind: 'unheard' }
  | { readonly kind: 'moved' }
  | { readonly kind: 'broken'; readonly error: UpstreamError };

type StreamFailure = Extract<StreamEnd, { readonly kind: 'failed' }>;

/** Statuses of instances that took nothing: another one may. Why: docs/decisions/cluster.md#what-an-instance-refused-another-one-may-take */
const isElsewhere = (status: number): boolean => status === 429 || status >= 500;
/** Of a whole answer that goes on elsewhere. */
const MOVED = 409;
/** What ends a request at one instance, and not at another. */
const OF_INSTANCE: ReadonlySet<string> = new Set(['draining', 'engine_failed', 'source_lost', 'gone']);
/** Before another instance is asked to go on, when the one before did not: it doubles. */
const FIRST_WAIT_MS = 50;
const MAX_WAIT_MS = 2000;

/** One request. */
export class Passage {
  private readonly told = new Told();
  private readonly legs: Legs;
  private readonly takeOver: TakeOver;
  private leg: Leg | null = null;
  /** Where it goes on behind its prompt. */
  private decode: string | null = null;
  /** Its prompt is computed apart, and nobody may take it over yet. */
  private isUnoffered = false;
  private isOffering = false;
  /** The answer of the last instance that took nothing: the client gets it, since nobody else is left. */
  private refusal: Leg | null = null;
  private numTried = 0;
  private numResumes = 0;
  /** In a row, without anything new. */
  private numVain = 0;

  constructor(private readonly parts: PassageParts) {
    this.legs = new Legs(parts);
    this.takeOver = new TakeOver({ ...parts, legs: this.legs, told: this.told });
  }

  /** Where it is answered now; null: nowhere yet. */
  get instance(): string | null {
    return this.leg?.id ?? null;
  }

  /** It could go on elsewhere now. */
  get isMovable(): boolean {
    const { leg, takeOver, isOffering, told } = this;
    const { asked } = this.parts;
    if (leg?.hasNotes !== true || !asked.canMove) return false;
    if (takeOver.isPending || isOffering || this.isUnoffered) return false;
    return !asked.isStream || told.begun?.isMovable === true;
  }

  /** Answers the client. @throws ApiError as long as nothing was sent to it; the signal's reason */
  async run(): Promise<void> {
    const { signal, client } = this.parts;
    const onAbort = (): void => this.leave(reasonOf(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      signal.throwIfAborted(); // it left before this began
      let leg: Leg | null = await this.begin();
      while (leg !== null) leg = await this.follow(leg);
      client.end();
    } catch (thrown) {
      const error = signal.reason instanceof ApiError ? signal.reason : thrown;
      if (!client.hasBegun) throw error;
      if (!signal.aborted || signal.reason instanceof ApiError) client.breakOff(apiErrorOf(error));
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.leave(LEFT);
    }
  }

  /** Has it go on in another instance, without its client noticing. @throws ClusterError MOVE_FAILED; it goes on where it is then */
  async move(to: string, why: MoveWhy): Promise<void> {
    const { leg } = this;
    const { asked, offer } = this.parts;
    if (!this.isMovable || leg === null) throw cantMove(asked.id, 'it is about to move, or can’t');
    if (leg.id === to) throw cantMove(asked.id, `it is at ${to} already`);
    this.isOffering = true;
    try {
      const lease = await offer(leg, asked.id);
      const hasMoved = this.leg === leg ? this.takeOver.begin(leg, lease, to, why) : null;
      if (hasMoved === null) void rollBack(leg, lease);
      else if (await hasMoved) return;
    } finally {
      this.isOffering = false;
    }
    throw cantMove(asked.id, `instance ${to} could not take it over, or it was over before`);
  }

  /** The first leg that is answered. */
  private async begin(): Promise<Leg> {
    const { dispatch, retries, story } = this.parts;
    let refused: Leg | null = null;
    let failure: unknown = null;
    this.told.begun = null; // whoever begins draws a seed of its own
    while (this.numTried <= retries) {
      const isAgain: boolean = failure !== null || refused !== null;
      const first: FirstLeg | null = isAgain ? orNull(() => this.legs.first()) : this.legs.first();
      if (first === null) break;
      if (this.numTried++ > 0) story.retried();
      if (refused !== null) this.over(refused, 'left');
      const leg: Leg = first.leg;
      this.leg = leg;
      this.decode = first.decode;
      this.isUnoffered = first.decode !== null;
      try {
        const { status } = await leg.answer;
        if (!isElsewhere(status)) return leg;
        refused = leg;
      } catch (error) {
        failure = upstreamError(error);
        refused = null;
        this.over(leg, 'left');
      }
      const next = this.takeOver.take();
      if (next !== null) {
        this.over(leg, 'left');
        return next;
      }
      dispatch.avoid(leg.id);
    }
    this.refusal = refused;
    if (refused !== null) return refused;
    throw new ApiError('NO_INSTANCE', 'no instance answers; try again later', { cause: failure });
  }

  /** Passes a leg on to its end. The leg that goes on behind it; null: the answer is whole, or nobody listens. */
  private async follow(leg: Leg): Promise<Leg | null> {
    this.leg = leg;
    const broken = (error: unknown): LegEnd => ({ kind: 'broken', error: upstreamError(error) });
    const end = await this.pump(leg).catch(broken);
    switch (end.kind) {
      case 'unheard':
        this.over(leg, 'left');
        return null;
      case 'done':
        this.over(leg, 'complete');
        this.takeOver.drop();
        return this.isSwallowed(leg) ? this.resume(leg, null, true) : null;
      case 'failed':
        this.over(leg, 'ended');
        this.takeOver.drop();
        return null;
      case 'moved':
        this.over(leg, 'ended');
        return this.next(leg, null);
      case 'broken':
        this.over(leg, 'left');
        return this.next(leg, end.error);
    }
  }

  private async pump(leg: Leg): Promise<LegEnd> {
    const { client } = this.parts;
    const answer = await leg.answer;
    if (answer.status === MOVED && leg.hasNotes && !leg.isStream) return { kind: 'moved' };
    if (answer.status >= 300 && (this.hasTold || client.hasBegun || this.isLate(leg, answer))) {
      throw new UpstreamError('REFUSED', `instance ${leg.id} answered ${answer.status}`);
    }
    const isSwallowed = this.isSwallowed(leg);
    for (let groups = await leg.read(); groups !== null; groups = await leg.read()) {
      const news = this.told.take(groups, leg);
      this.heard(leg, news);
      // What counts as told has to be sent before anything else comes of it.
      if (news.bytes.length > 0 && !isSwallowed) {
        client.begin(answer);
        if (!(await client.send(news.bytes))) return { kind: 'unheard' };
      }
      const { end } = news;
      if (end?.kind === 'failed') return this.failed(leg, answer, end);
      if (end !== null) return end;
    }
    return { kind: answer.status < 400 ? 'done' : 'failed' };
  }

  /** It took over, or begins again, and takes nothing: another one may. */
  private isLate(leg: Leg, { status }: UpstreamAnswer): boolean {
    return isElsewhere(status) && leg !== this.refusal;
  }

  /** The stream says that it failed: another instance can do better, or the client hears it. @throws ApiError where the client doesn't see the stream */
  private async failed(leg: Leg, answer: UpstreamAnswer, { code, bytes }: StreamFailure): Promise<LegEnd> {
    const { client } = this.parts;
    if (OF_INSTANCE.has(code)) {
      return { kind: 'broken', error: new UpstreamError('BROKEN_OFF', `instance ${leg.id} gave it up (${code})`) };
    }
    if (this.isSwallowed(leg)) {
      throw new ApiError('INSTANCE_FAILED', `instance ${leg.id} could not finish the request (${code}); send it again`);
    }
    client.begin(answer);
    return (await client.send([bytes])) ? { kind: 'failed' } : { kind: 'unheard' };
  }

  private heard(leg: Leg, { numTokens, isPlain, bytes, offer }: News): void {
    const { story, asked } = this.parts;
    const isSomething = numTokens > 0 || (isPlain && bytes.some(({ length }) => length > 0));
    if (isSomething) this.numVain = 0;
    if (isSomething && leg.isStream && asked.endpoint !== null) {
      story.told(numTokens);
      leg.sent?.firstToken(story.now());
    }
    if (numTokens > 0) leg.sent?.progress(leg.numTokens);
    if (isPlain && !leg.isStream) leg.numWhole = bytes.length === 1 ? outputTokensOf(bytes[0]!) : null;
    if (offer === null) return;
    this.isUnoffered = false;
    this.takeOver.beginBehindPrompt(leg, offer, this.decode);
  }

  /** Who goes on behind a leg that ended too early. `error`: null: it moved. */
  private async next(leg: Leg, error: UpstreamError | null): Promise<Leg> {
    const { client, dispatch } = this.parts;
    const ahead = this.takeOver.take();
    if (ahead !== null) return ahead;
    if (this.hasTold || client.hasBegun) return this.resume(leg, error);
    if (error !== null) dispatch.avoid(leg.id); // who gave it away lives
    return this.begin();
  }

  /** Another instance goes on behind what is known. `isPlanned`: nothing failed, and it is no resume. @throws ApiError INSTANCE_FAILED */
  private async resume(last: Leg, cause: UpstreamError | null, isPlanned = false): Promise<Leg> {
    const { asked, client, dispatch, resumes, story, signal } = this.parts;
    const { begun, tokenIds } = this.told;
    const isOpen = asked.isStream || !client.hasBegun; // nothing comes behind a part of a whole answer
    const canResume = isOpen && last.hasNotes && asked.canMove && begun?.isMovable === true;
    this.isUnoffered = false;
    for (let isFree = isPlanned; canResume && (isFree || this.numResumes < resumes); isFree = false) {
      if (!isFree) this.numResumes++;
      const isFirst = this.numVain++ === 0;
      if (!isFirst) await delay(Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** this.numVain), undefined, { signal });
      dispatch.goOn(last.upstream.record.fingerprint, tokenIds);
      if (isFirst && cause !== null) dispatch.avoid(last.id);
      const resume = { token_ids: tokenIds, seed: begun.seed, created: begun.created };
      const leg = orNull(() => this.legs.goOn({ resume }, tokenIds.length));
      if (leg === null) continue;
      if (!isFree) story.resumed();
      return leg;
    }
    const text = `instance ${last.id} broke off its answer, and no other one can go on; send the request again`;
    throw new ApiError('INSTANCE_FAILED', text, { cause });
  }

  private get hasTold(): boolean {
    return this.told.tokenIds.length > 0;
  }

  /** Its client waits for all of the answer, and it is a stream: another leg tells all when this one is over. */
  private isSwallowed(leg: Leg): boolean {
    return leg.isStream && !this.parts.asked.isStream;
  }

  private over(leg: Leg, end: 'complete' | 'ended' | 'left'): void {
    this.legs.over(leg, end);
    if (this.leg === leg) this.leg = null;
  }

  private leave(reason: Error): void {
    const { leg } = this;
    this.takeOver.drop();
    leg?.leave(reason);
    if (leg !== null) this.over(leg, 'left');
  }
}

const LEFT = new UpstreamError('BROKEN_OFF', 'nobody waits for the answer');

const reasonOf = ({ reason }: AbortSignal): Error => (reason instanceof Error ? reason : LEFT);

/** What an instance did. @throws what isn't an instance's doing */
function upstreamError(error: unknown): UpstreamError {
  if (error instanceof UpstreamError) return error;
  throw error;
}

const apiErrorOf = (error: unknown): ApiError =>
  error instanceof ApiError
    ? error
    : new ApiError('INTERNAL_ERROR', 'the router failed at this request; its log says more', { cause: error });

const cantMove = (request: string, why: string): ClusterError =>
  new ClusterError('MOVE_FAILED', `request ${request} does not move: ${why}; it goes on where it is`);
