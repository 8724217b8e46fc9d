/** All that a router knows of instances, and where it sends requests by it. No sockets and no clock: whoever has them tells it. */
import type { BlockBatch } from '../base/block_events.js';
import { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';
import type { Candidate, InstanceView } from '../base/instance_view.js';
import type { LoadReport } from '../base/load_report.js';
import type { RoutedRequest, RouteLeg, RoutingPolicy } from '../base/routed_request.js';
import { ApproximateIndex } from './approximate_index.js';
import { KnownInstance } from './known_instance.js';
import { compareIds, decodeLegOf, legsOf, type Route } from './legs.js';
import { LengthPredictor } from './length_predictor.js';
import { numTokensToCompute } from './policies/least.js';
import { PrefixIndex, type BatchFate } from './prefix_index.js';
import type { PromptKeys } from './prompt_keys.js';
import { SentRequest } from './sent_request.js';
import { SessionTable, type SessionTableOptions } from './session_table.js';

/** How a table routes. */
export interface RoutingTableOptions {
  readonly policy: RoutingPolicy;
  /** Instances' events say what they have cached; otherwise what was sent there does. */
  readonly usesEvents: boolean;
  /** Without events: how long a block counts as cached, ms. */
  readonly ttlMs: number;
  /** Blocks that are known, of all instances together. */
  readonly maxBlocks: number;
  /** Where one bucket of output lengths ends and the next one begins. */
  readonly lengthBuckets: readonly number[];
  readonly sessions: SessionTableOptions;
  /** Prompts of which an instance that generates lacks no more than so many tokens stay in one piece. */
  readonly localPrefillTokens: number;
}

/** A request that is to go somewhere. */
export interface AskedRequest {
  readonly model: string;
  /** With the tokens that came of it already, where it goes on. */
  readonly prompt: PromptKeys;
  /** That it may still generate. */
  readonly maxNewTokens: number;
  /** Lower comes first. */
  readonly priority: number;
  /** Null: it has none. */
  readonly session: string | null;
  /** Where it isn't to go: what failed it. */
  readonly except: ReadonlySet<string>;
  /** It goes on behind tokens that came of these weights: it goes to those that have them. Null: it begins. */
  readonly fingerprint: string | null;
}

/** One router's. */
export class RoutingTable {
  private readonly instances = new Map<string, KnownInstance>();
  private readonly index: PrefixIndex;
  private readonly approximate: ApproximateIndex;
  private readonly sessions: SessionTable;
  private readonly lengths: LengthPredictor;
  private numRouted = 0;
  private numSent = 0;

  constructor(private readonly options: RoutingTableOptions) {
    const { maxBlocks, ttlMs, sessions, lengthBuckets } = options;
    this.index = new PrefixIndex(maxBlocks);
    this.approximate = new ApproximateIndex({ ttlMs, maxBlocks });
    this.sessions = new SessionTable(sessions);
    this.lengths = new LengthPredictor(lengthBuckets);
  }

  /** By ascending id. */
  get views(): readonly InstanceView[] {
    return this.sorted().map(({ view }) => view);
  }

  /** An instance is there, or tells something new of itself. */
  join(record: InstanceRecord): void {
    const known = this.instances.get(record.id);
    this.index.add(record.id, record.incarnation);
    if (known?.record.incarnation === record.incarnation) return void (known.record = record);
    this.approximate.remove(record.id);
    this.instances.set(record.id, new KnownInstance(record)); // requests of the one before end with what it was
  }

  /** It is gone, and all that was known of it. */
  leave(id: string): void {
    this.instances.delete(id);
    this.index.remove(id);
    this.approximate.remove(id);
  }

  /** What an instance has in hand. */
  report(load: LoadReport): void {
    this.instances.get(load.instance)?.report(load);
  }

  /** What came to an instance's prefix cache, and what went. */
  apply(batch: BlockBatch): BatchFate {
    return this.options.usesEvents ? this.index.apply(batch) : 'late';
  }

  /** Batches of an instance were lost: nothing counts as cached there until one begins with `cleared`. */
  gap(id: string): void {
    this.index.lose(id);
  }

  /** Whether an instance answers, as health checks and requests show. */
  setHealthy(id: string, isHealthy: boolean): void {
    const known = this.instances.get(id);
    if (known !== undefined) known.isHealthy = isHealthy;
  }

  /**
   * Where a request goes.
   * @param leg `decode`: it goes on behind its prompt, which was computed elsewhere. Default: all of it
   * @throws ClusterError NO_INSTANCE; POLICY_FAILED
   */
  route(asked: AskedRequest, nowMs: number, leg: Exclude<RouteLeg, 'prefill'> = 'whole'): Route {
    const candidates = this.candidatesOf(asked, nowMs);
    const request = this.requestOf(asked, nowMs, leg);
    return (leg === 'decode' ? decodeLegOf : legsOf)(request, candidates, this.options);
  }

  /**
   * A request, or a leg of it, is about to be sent to an instance: it counts there until it is over.
   * @throws ClusterError INSTANCE_LOST: the instance is gone
   */
  send(asked: AskedRequest, id: string, leg: RouteLeg, nowMs: number): SentRequest {
    const known = this.instances.get(id);
    if (known === undefined) {
      throw new ClusterError('INSTANCE_LOST', `instance ${id} left meanwhile; choose another one`, { instance: id });
    }
    const request = this.requestOf(asked, nowMs, leg);
    const candidate = this.candidateOf(known, asked, nowMs);
    const { session, prompt, maxNewTokens } = asked;
    const clues = { session, numPromptTokens: prompt.numTokens, maxNewTokens };
    const blocks = prompt.of(known.record);
    const facts = {
      ...clues,
      blocks,
      predicted: request.predicted,
      numTokensToCompute: leg === 'decode' ? 0 : numTokensToCompute(request, candidate),
    };
    known.lastRouted = this.numSent++;
    if (!this.knowsEvents(known.record, prompt)) this.approximate.add(id, blocks, nowMs);
    if (session !== null && leg !== 'prefill') this.sessions.set(session, id, nowMs);
    return new SentRequest(known, facts, nowMs, (numTokens) => this.lengths.observe(clues, numTokens));
  }

  private requestOf(asked: AskedRequest, nowMs: number, leg: RouteLeg): RoutedRequest {
    const { prompt, maxNewTokens, priority, session } = asked;
    const numPromptTokens = prompt.numTokens;
    return {
      number: this.numRouted++,
      leg,
      numPromptTokens,
      maxNewTokens,
      priority,
      predicted: this.lengths.predict({ session, numPromptTokens, maxNewTokens }),
      sessionInstance: session === null ? null : this.sessions.instanceOf(session, nowMs),
    };
  }

  /** By ascending id. @throws ClusterError NO_INSTANCE */
  private candidatesOf(asked: AskedRequest, nowMs: number): readonly Candidate[] {
    const { model, except, fingerprint } = asked;
    const numTokens = asked.prompt.numTokens;
    const able = this.sorted().filter(({ record, isHealthy }) => {
      const isAsked = record.model === model && !except.has(record.id);
      return isAsked && isHealthy && !record.isDraining && (fingerprint === null || record.fingerprint === fingerprint);
    });
    if (able.length === 0) throw this.nobody(asked);
    const fitting = able.filter(({ record }) => record.maxModelLen === 0 || numTokens < record.maxModelLen);
    // Where it fits nowhere, one of them says why not.
    return (fitting.length > 0 ? fitting : able).map((known) => this.candidateOf(known, asked, nowMs));
  }

  private candidateOf(known: KnownInstance, { prompt }: AskedRequest, nowMs: number): Candidate {
    const { record, prompts } = known;
    const blocks = prompt.of(record);
    const numHeld = prompts.numMatching(blocks);
    const numCached = Math.max(numHeld, this.numCached(record, prompt, nowMs));
    return {
      ...known.view,
      numCachedTokens: hasPrefixCache(record) ? Math.min(numCached * record.blockSize, prompt.numTokens - 1) : 0,
      numAddedBlocks: Math.ceil(prompt.numTokens / record.blockSize) - numHeld,
    };
  }

  private numCached(record: InstanceRecord, prompt: PromptKeys, nowMs: number): number {
    const blocks = prompt.of(record);
    if (this.knowsEvents(record, prompt)) return this.index.numMatching(record.id, blocks);
    return this.approximate.numMatching(record.id, blocks, nowMs);
  }

  private knowsEvents({ kind }: InstanceRecord, { hasTokens }: PromptKeys): boolean {
    return this.options.usesEvents && kind === 'own' && hasTokens;
  }

  private nobody({ model, except }: AskedRequest): ClusterError {
    const having = this.sorted().filter(({ record }) => record.model === model);
    const why = having.map(({ record: { id, isDraining }, isHealthy }) => {
      const state = except.has(id)
        ? 'failed this request'
        : isDraining
          ? 'drains'
          : isHealthy
            ? 'has other weights'
            : 'fails';
      return `${id} ${state}`;
    });
    const text =
      why.length === 0 ? `no instance has model ${model}` : `no instance may take the request: ${why.join(', ')}`;
    return new ClusterError('NO_INSTANCE', `${text}; try again later, or start another one`);
  }

  private sorted(): readonly KnownInstance[] {
    return [...this.instances.values()].sort((a, b) => compareIds(a.record.id, b.record.id));
  }
}

/** Of foreign ones nobody knows: most have one. */
const hasPrefixCache = ({ kind, sharing }: InstanceRecord): boolean => kind === 'foreign' || sharing !== null;
