/** All that a router knows of instances, and where it sends requests by it. No sockets and no clock: whoever has them tells it. */
import type { BlockBatch } from '../base/block_events.js';
import { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';
import type { Candidate, InstanceView } from '../base/instance_view.js';
import type { LoadReport } from '../base/load_report.js';
import type { RoutedRequest, RouteLeg, RoutingPolicy } from '../base/routed_request.js';
import { KnownCaches } from './known_caches.js';
import { KnownInstance } from './known_instance.js';
import { compareIds, decodeLegOf, legsOf, type Route } from './legs.js';
import { LengthPredictor } from './length_predictor.js';
import { numTokensToCompute } from './policies/least.js';
import { MAX_HOLDERS, poolOf, type BlockHolder } from './pool/holders.js';
import type { BegunCopy, Copy, PoolMember } from './pool/replicas.js';
import { Replication, type ReplicationOptions } from './pool/replication.js';
import type { BatchFate } from './prefix_index.js';
import type { PromptKeys } from './prompt_keys.js';
import { blocksOfKeys } from './pool/named_blocks.js';
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
  /** Null: what many ask for stays where it is. */
  readonly replication: ReplicationOptions | null;
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
  private readonly caches: KnownCaches;
  private readonly sessions: SessionTable;
  private readonly lengths: LengthPredictor;
  private readonly replication: Replication | null;
  private numRouted = 0;
  private numSent = 0;

  constructor(private readonly options: RoutingTableOptions) {
    const { sessions, lengthBuckets, replication } = options;
    this.replication = replication && new Replication(replication);
    this.caches = new KnownCaches(options);
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
    this.caches.join(record);
    if (known?.record.incarnation === record.incarnation) return void (known.record = record);
    this.instances.set(record.id, new KnownInstance(record)); // requests of the one before end with what it was
  }

  /** It is gone, and all that was known of it. */
  leave(id: string): void {
    this.instances.delete(id);
    this.caches.leave(id);
  }

  /** What an instance has in hand. */
  report(load: LoadReport): void {
    this.instances.get(load.instance)?.report(load);
  }

  /** What came to an instance's prefix cache, and what went. */
  apply(batch: BlockBatch): BatchFate {
    return this.caches.apply(batch);
  }

  /** Batches of an instance were lost: nothing counts as cached there until one begins with `cleared`. */
  gap(id: string): void {
    this.caches.lose(id);
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
    const candidate = this.candidateOf(known, asked, nowMs, this.numPooled(asked.prompt));
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
    this.caches.sent(known.record, prompt, nowMs);
    const pool = poolOf(known.record);
    if (pool !== null && prompt.hasTokens && leg !== 'decode') this.replication?.asked(pool, blocks, nowMs);
    if (session !== null && leg !== 'prefill') this.sessions.set(session, id, nowMs);
    return new SentRequest(known, facts, nowMs, (numTokens) => this.lengths.observe(clues, numTokens));
  }

  /**
   * Who has more of a prompt's first blocks in caches than an instance that can read them there, as they told: of the most first, {@link MAX_HOLDERS} at most.
   */
  holders({ prompt }: AskedRequest, id: string): readonly BlockHolder[] {
    const reader = this.instances.get(id)?.record;
    const pool = reader === undefined ? null : poolOf(reader);
    if (reader === undefined || pool === null) return [];
    const numOwn = this.caches.numTold(reader, prompt);
    return this.sorted()
      .filter(({ record, isHealthy }) => isHealthy && record.id !== id && poolOf(record) === pool)
      .map(({ record, numRequests }) => ({ record, numRequests, numBlocks: this.caches.numTold(record, prompt) }))
      .filter(({ numBlocks }) => numBlocks > numOwn)
      .sort((a, b) => b.numBlocks - a.numBlocks || a.numRequests - b.numRequests)
      .slice(0, MAX_HOLDERS)
      .map(({ record: { id: instance, url }, numBlocks }) => ({ instance, url, numBlocks }));
  }

  /** Copies of prefixes that many ask for, to begin now. `begun`: those that are underway, or were lately. */
  copies(begun: readonly BegunCopy[], nowMs: number): readonly Copy[] {
    if (this.replication === null) return [];
    const members = new Map<string, PoolMember[]>();
    for (const { record, view } of this.sorted()) {
      const pool = poolOf(record);
      if (pool === null) continue;
      const numHeld: PoolMember['numHeld'] = ({ keys }) => this.caches.numHeld(record.id, blocksOfKeys(keys));
      members.set(pool, [...(members.get(pool) ?? []), { view, numHeld }]);
    }
    return this.replication.plan(members, begun, nowMs);
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
    const numPooled = this.numPooled(asked.prompt);
    // Where it fits nowhere, one of them says why not.
    return (fitting.length > 0 ? fitting : able).map((known) => this.candidateOf(known, asked, nowMs, numPooled));
  }

  private candidateOf(
    known: KnownInstance,
    { prompt }: AskedRequest,
    nowMs: number,
    numPooled: ReadonlyMap<string, number>,
  ): Candidate {
    const { record, prompts } = known;
    const numHeld = prompts.numMatching(prompt.of(record));
    const numCached = Math.max(numHeld, this.caches.numCached(record, prompt, nowMs));
    const pool = poolOf(record);
    const numFound = Math.max(numCached, pool === null ? 0 : (numPooled.get(pool) ?? 0));
    const tokensOf = (numBlocks: number): number => Math.min(numBlocks * record.blockSize, prompt.numTokens - 1);
    const numCachedTokens = hasPrefixCache(record) ? tokensOf(numCached) : 0;
    return {
      ...known.view,
      numCachedTokens,
      numFetchableTokens: pool === null ? 0 : tokensOf(numFound) - numCachedTokens,
      numAddedBlocks: Math.ceil(prompt.numTokens / record.blockSize) - numHeld,
    };
  }

  /** By pool: blocks that the instance has that has most of the prompt. */
  private numPooled(prompt: PromptKeys): ReadonlyMap<string, number> {
    const most = new Map<string, number>();
    for (const { record, isHealthy } of this.instances.values()) {
      const pool = poolOf(record);
      if (pool === null || !isHealthy) continue;
      most.set(pool, Math.max(most.get(pool) ?? 0, this.caches.numTold(record, prompt)));
    }
    return most;
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
