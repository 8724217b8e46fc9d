/**
 * One request on its way: to an instance, and its answer back, whoever dies or takes over meanwhile.
 * Why: docs/decisions/cluster.md#whoever-tells-it-the-client-hears-each-token-once
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ClusterError } from '../../base/errors.js';
import { ApiError } from '../../../server/base/api_error.js';
import type { OfferedParams } from '../../../server/cluster/transfer_params.js';
import { UpstreamError } from '../upstream/upstream_error.js';
import { Ahead, rollBack } from './ahead.js';
import type { Asked, Fields } from './asked.js';
import type { ClientAnswer } from './client_answer.js';
import type { Dispatch } from './dispatch.js';
import type { Leg } from './leg.js';
import type { MoveWhy } from './request_story.js';
import type { StoryTeller } from './story_teller.js';
import { Told, type News } from './told.js';

/** What a passage is made of. */
export interface PassageParts {
  readonly asked: Asked;
  readonly dispatch: Dispatch;
  readonly client: ClientAnswer;
  readonly story: StoryTeller;
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
  /** Nobody listens. */
  | { readonly kind: 'unheard' }
  | { readonly kind: 'moved' }
  | { readonly kind: 'broken'; readonly error: UpstreamError };

/** Statuses of instances that took nothing: another one may. Why: docs/decisions/cluster.md#what-an-instance-refused-another-one-may-take */
const ELSEWHERE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
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
  private leg: Leg | null = null;
  private ahead: Ahead | null = null;
  /** Where it goes on behind its prompt. */
  private decode: string | null = null;
  private isOffering = false;
  private numTried = 0;
  private numResumes = 0;
  /** In a row, without anything new. */
  private numVain = 0;

  constructor(private readonly parts: PassageParts) {}

  /** Where it is answered now; null: nowhere yet. */
  get instance(): string | null {
    return this.leg?.id ?? null;
  }

  /** It could go on elsewhere now. */
  get isMovable(): boolean {
    const { leg, ahead, isOffering, told } = this;
    if (leg === null || !leg.hasNotes || ahead !== null || isOffering || !this.parts.asked.canMove) return false;
    return this.parts.asked.isStream ? told.begun?.isMovable === true : true;
  }

  /** Answers the client. @throws ApiError as long as nothing was sent to it */
  async run(): Promise<void> {
    const { signal, client } = this.parts;
    const onAbort = (): void => this.leave(reasonOf(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
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
      if (this.leg === leg && this.goAhead(leg, lease, to, why)) {
        const hasMoved = await this.ahead!.settled;
        if (hasMoved) return;
      } else void rollBack(leg, lease);
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
      const leg = this.firstLeg(failure !== null || refused !== null);
      if (leg === null) break;
      if (this.numTried++ > 0) story.retried();
      if (refused !== null) this.over(refused, false);
      this.leg = leg;
      try {
        const { status } = await leg.answer;
        if (!ELSEWHERE.has(status)) return leg;
        refused = leg;
      } catch (error) {
        failure = upstreamError(error);
        refused = null;
        this.over(leg, false);
        if (this.ahead !== null) return this.takeOver(this.ahead);
      }
      dispatch.avoid(leg.id);
    }
    if (refused !== null) return refused;
    throw new ApiError('NO_INSTANCE', 'no instance answers; try again later', { cause: failure });
  }

  /** Null: nobody is left, where others were asked before. */
  private firstLeg(isAgain: boolean): Leg | null {
    const { dispatch, asked } = this.parts;
    try {
      const route = dispatch.route('whole');
      if (route.kind === 'whole') return this.send(route.instance, 'whole', {}, 0);
      if (!asked.canMove || asked.isClients) return this.send(route.decode, 'whole', {}, 0);
      this.decode = route.decode;
      const streamed = asked.isStream ? {} : { stream: true };
      return this.send(route.prefill, 'prefill', { kv_transfer_params: { do_remote_decode: true }, ...streamed }, 0);
    } catch (error) {
      if (isAgain && error instanceof ApiError && error.code === 'NO_INSTANCE') return null;
      throw error;
    }
  }

  private send(instance: string, leg: 'whole' | 'prefill' | 'decode', added: Fields, position: number): Leg {
    const { story, dispatch } = this.parts;
    const sent = dispatch.send({ instance, leg, added, position });
    story.sentTo(instance);
    const { numPromptTokens } = dispatch;
    if (leg !== 'decode' && sent.sent !== null) {
      story.placed(numPromptTokens, numPromptTokens - sent.sent.numTokensToCompute);
    }
    return sent;
  }

  /** Passes a leg on to its end. The leg that goes on behind it; null: the answer is whole, or nobody listens. */
  private async follow(leg: Leg): Promise<Leg | null> {
    this.leg = leg;
    const end = await this.pump(leg).catch((error: unknown): LegEnd => ({
      kind: 'broken',
      error: upstreamError(error),
    }));
    const isWhole = end.kind === 'done';
    this.over(leg, isWhole);
    if (end.kind === 'unheard') return null;
    if (isWhole) {
      this.dropAhead();
      return this.isSwallowed(leg) ? this.resume(leg, null) : null;
    }
    return this.next(leg, end.kind === 'broken' ? end.error : null);
  }

  private async pump(leg: Leg): Promise<LegEnd> {
    const { client } = this.parts;
    const answer = await leg.answer;
    if (answer.status === MOVED && leg.hasNotes && !leg.isStream) return { kind: 'moved' };
    if (answer.status >= 300 && (this.hasTold || client.hasBegun)) {
      throw new UpstreamError('REFUSED', `instance ${leg.id} answered ${answer.status}`);
    }
    const isSwallowed = this.isSwallowed(leg);
    for (let groups = await leg.read(); groups !== null; groups = await leg.read()) {
      const news = this.told.take(groups, leg);
      this.heard(leg, news);
      const { end } = news;
      if (end?.kind === 'failed' && OF_INSTANCE.has(end.code)) {
        throw new UpstreamError('BROKEN_OFF', `instance ${leg.id} gave the request up (${end.code})`);
      }
      const bytes = end?.kind === 'failed' ? [...news.bytes, end.bytes] : news.bytes;
      if (bytes.length > 0 && !isSwallowed) {
        client.begin(answer);
        if (!(await client.send(bytes))) return { kind: 'unheard' };
      }
      if (end?.kind === 'failed') return this.failed(leg, end.code);
      if (end !== null) return end;
    }
    return { kind: 'done' };
  }

  /** A stream's last word; of one that its client doesn't see, the client hears it now. */
  private failed(leg: Leg, code: string): LegEnd {
    if (!this.isSwallowed(leg)) return { kind: 'done' };
    throw new ApiError('INSTANCE_FAILED', `instance ${leg.id} could not finish the request (${code}); send it again`);
  }

  private heard(leg: Leg, { numTokens, bytes, offer }: News): void {
    const { story } = this.parts;
    if (bytes.length > 0) {
      story.told(numTokens);
      leg.sent?.firstToken(story.now());
      this.numVain = 0;
    }
    if (numTokens > 0) leg.sent?.progress(leg.numTokens);
    if (offer === null) return;
    const target = this.decode ?? '';
    if (!this.goAhead(leg, offer, target, 'apart') && !this.goAheadElsewhere(leg, offer)) void rollBack(leg, offer);
  }

  /** A leg at `to` is to take over. False: it isn't there. */
  private goAhead(source: Leg, lease: OfferedParams, to: string, why: MoveWhy): boolean {
    const { story } = this.parts;
    const { tokenIds, begun } = this.told;
    const resume = { token_ids: tokenIds, seed: begun?.seed ?? lease.seed, created: begun?.created ?? null };
    let target: Leg;
    try {
      target = this.send(to, 'decode', { kv_transfer_params: lease, resume }, tokenIds.length);
    } catch (error) {
      if (error instanceof ClusterError) return false;
      throw error;
    }
    const ahead = new Ahead({ source, target, why, startMs: story.now() }, () => {
      if (this.ahead !== ahead) return; // it took over, or wasn't wanted any more
      this.dropAhead();
      void rollBack(source, lease);
    });
    this.ahead = ahead;
    return true;
  }

  private goAheadElsewhere(source: Leg, lease: OfferedParams): boolean {
    const { dispatch } = this.parts;
    dispatch.avoid(source.id);
    try {
      const route = dispatch.route('decode');
      return route.kind === 'whole' && this.goAhead(source, lease, route.instance, 'apart');
    } catch (error) {
      if (error instanceof ApiError) return false;
      throw error;
    }
  }

  /** Who goes on behind a leg that ended too early. `error`: null: it moved. */
  private async next(leg: Leg, error: UpstreamError | null): Promise<Leg> {
    const { client, dispatch } = this.parts;
    if (this.ahead !== null) return this.takeOver(this.ahead);
    if (this.hasTold || client.hasBegun) return this.resume(leg, error);
    dispatch.avoid(leg.id);
    return this.begin();
  }

  /** Another instance goes on behind what is known. @throws ApiError INSTANCE_FAILED */
  private async resume(last: Leg, cause: UpstreamError | null): Promise<Leg> {
    const { asked, dispatch, resumes, story, signal } = this.parts;
    const { begun, tokenIds } = this.told;
    const canResume = last.hasNotes && asked.canMove && begun?.isMovable === true;
    while (canResume && this.numResumes < resumes) {
      this.numResumes++;
      const isFirst = this.numVain++ === 0;
      if (!isFirst) await delay(Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** this.numVain), undefined, { signal });
      dispatch.goOn(last.upstream.record.fingerprint, tokenIds);
      if (isFirst && cause !== null) dispatch.avoid(last.id);
      const leg = this.resumed({ token_ids: tokenIds, seed: begun.seed, created: begun.created });
      if (leg === null) continue;
      story.resumed();
      return leg;
    }
    const text = `instance ${last.id} broke off its answer, and no other one can go on; send the request again`;
    throw new ApiError('INSTANCE_FAILED', text, { cause });
  }

  private resumed(resume: Fields): Leg | null {
    try {
      const route = this.parts.dispatch.route('decode');
      const instance = route.kind === 'whole' ? route.instance : route.decode;
      return this.send(instance, 'decode', { resume }, this.told.tokenIds.length);
    } catch (error) {
      if (error instanceof ApiError || error instanceof ClusterError) return null;
      throw error;
    }
  }

  private takeOver(ahead: Ahead): Leg {
    this.ahead = null;
    this.parts.story.moved(ahead.plan, true);
    return ahead.take();
  }

  private dropAhead(): void {
    const { ahead } = this;
    if (ahead === null) return;
    this.ahead = null;
    ahead.giveUp();
    this.over(ahead.plan.target, false);
    this.parts.story.moved(ahead.plan, false);
  }

  private get hasTold(): boolean {
    return this.told.tokenIds.length > 0;
  }

  /** Its client waits for all of the answer, and it is a stream: another leg tells all when this one is over. */
  private isSwallowed(leg: Leg): boolean {
    return leg.isStream && !this.parts.asked.isStream;
  }

  /** Nothing more comes of a leg. */
  private over(leg: Leg, isComplete: boolean): void {
    leg.leave();
    leg.sent?.ended({ numOutputTokens: leg.numTokens, isComplete }, this.parts.story.now());
    if (this.leg === leg) this.leg = null;
  }

  private leave(reason: Error): void {
    const { leg } = this;
    this.dropAhead();
    leg?.leave(reason);
    if (leg !== null) this.over(leg, false);
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
