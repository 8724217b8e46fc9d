/** A load on instances behind a router's table, in virtual time: the same numbers each time. */
import type { InstanceRecord } from '../../../lib/cluster/base/instance_record.js';
import type { RoutingPolicy } from '../../../lib/cluster/base/routed_request.js';
import { blockSharingOf, PromptKeys } from '../../../lib/cluster/routing/prompt_keys.js';
import { RoutingTable, type AskedRequest } from '../../../lib/cluster/routing/routing_table.js';
import { Clock } from './clock.js';
import { SHARING, SimulatedInstance, type InstanceShape, type PromptCounts } from './simulated_instance.js';

/** Until a router knows what an instance tells. */
const TELL_MS = 20;
const REPORT_MS = 100;

/** What one client says: each turn once the one before was answered. */
export interface Conversation {
  readonly atMs: number;
  readonly turns: readonly Turn[];
}

/** One turn, by its tokens. */
export interface Turn {
  readonly said: readonly number[];
  readonly answer: readonly number[];
  /** Before it is said. */
  readonly thinkMs: number;
}

/** Of a cluster; what isn't given is that of {@link SMALL}. */
export interface ClusterShape extends Partial<InstanceShape> {
  readonly numInstances: number;
  /** Of each. */
  readonly numBlocks: number;
  /** Default true. */
  readonly usesEvents?: boolean;
  /** They read each other's caches. Default false. */
  readonly isPooled?: boolean;
}

/** An instance of a small model. */
export const SMALL = {
  numTierBlocks: 0,
  blockSize: 16,
  prefillTokensPerMs: 2,
  copiedTokensPerMs: 32,
  tbtMs: 10,
} as const;

/** What came of a load. */
export interface Simulated {
  /** Of all instances. */
  readonly tokens: PromptCounts;
  /** Times that an instance was named for blocks of which it had not all any more. */
  readonly numVain: number;
  /** Requests by instance. */
  readonly numRequests: readonly number[];
  readonly meanTtftMs: number;
  readonly meanLatencyMs: number;
}

/** Plays it. */
export function simulated(
  conversations: readonly Conversation[],
  policy: RoutingPolicy,
  shape: ClusterShape,
): Simulated {
  const cluster = new SimulatedCluster(policy, shape);
  for (const each of conversations) cluster.play(each);
  return cluster.run();
}

class SimulatedCluster {
  private readonly clock = new Clock();
  private readonly table: RoutingTable;
  private readonly instances = new Map<string, SimulatedInstance>();
  private readonly ttftsMs: number[] = [];
  private readonly latenciesMs: number[] = [];
  private numOpen = 0;

  constructor(policy: RoutingPolicy, { numInstances, usesEvents = true, isPooled = false, ...shape }: ClusterShape) {
    const sessions = { ttlMs: 1e6, maxSessions: 1000 };
    const limits = { ttlMs: 120_000, maxBlocks: 2 ** 24, lengthBuckets: [64, 256], localPrefillTokens: 0 };
    this.table = new RoutingTable({ policy, usesEvents, sessions, ...limits, replication: null });
    const whole = { ...SMALL, ...shape };
    for (let i = 0; i < numInstances; i++) {
      const id = String(i);
      this.table.join({ ...RECORD, id, isPooled, blockSize: whole.blockSize, numKvBlocks: whole.numBlocks });
      const { clock, table } = this;
      const blocks = (batch: Parameters<RoutingTable['apply']>[0]): void =>
        clock.after(TELL_MS, () => void table.apply(batch));
      this.instances.set(id, new SimulatedInstance({ ...whole, id, clock, blocks }));
    }
  }

  play(conversation: Conversation): void {
    this.numOpen++;
    this.clock.after(conversation.atMs, () => this.say(conversation, 0, []));
  }

  run(): Simulated {
    this.report();
    this.clock.run();
    const all = [...this.instances.values()];
    const sum = (of: (each: SimulatedInstance) => number): number => all.reduce((total, each) => total + of(each), 0);
    return {
      tokens: {
        computed: sum(({ counts }) => counts.computed),
        fetched: sum(({ counts }) => counts.fetched),
        lifted: sum(({ counts }) => counts.lifted),
        cached: sum(({ counts }) => counts.cached),
      },
      numVain: sum(({ numVain }) => numVain),
      numRequests: all.map(({ numRequests }) => numRequests),
      meanTtftMs: meanOf(this.ttftsMs),
      meanLatencyMs: meanOf(this.latenciesMs),
    };
  }

  private say({ turns, atMs }: Conversation, turn: number, context: readonly number[]): void {
    if (turn === turns.length) {
      this.numOpen--;
      return;
    }
    const { clock, table, instances } = this;
    const { said, answer } = turns[turn]!;
    const promptTokenIds = [...context, ...said];
    const asked = askedOf(promptTokenIds, answer.length);
    const route = table.route(asked, clock.nowMs);
    if (route.kind !== 'whole') throw new Error(`it went ${route.kind}`);
    const beganMs = clock.nowMs;
    instances.get(route.instance)!.begin({
      ...{ promptTokenIds, outputTokenIds: answer },
      holders: table
        .holders(asked, route.instance)
        .map(({ instance, numBlocks }) => ({ numBlocks, instance: instances.get(instance)! })),
      sent: table.send(asked, route.instance, 'whole', clock.nowMs),
      onFirst: () => void this.ttftsMs.push(clock.nowMs - beganMs),
      onEnd: () => {
        this.latenciesMs.push(clock.nowMs - beganMs);
        const thinkMs = turns[turn + 1]?.thinkMs ?? 0;
        clock.after(thinkMs, () => this.say({ turns, atMs }, turn + 1, [...promptTokenIds, ...answer]));
      },
    });
  }

  private report(): void {
    for (const instance of this.instances.values()) this.table.report(instance.load);
    if (this.numOpen > 0) this.clock.after(REPORT_MS, () => this.report());
  }
}

const RECORD: InstanceRecord = {
  ...{ id: '', incarnation: 'simulated', url: 'http://simulated', kind: 'own', role: 'mixed', isDraining: false },
  ...{ model: 'simulated', fingerprint: 'simulated', numRanks: 1, blockSize: 1, numKvBlocks: 1, maxModelLen: 0 },
  ...{ sharing: blockSharingOf(SHARING), isPooled: false },
};

const askedOf = (tokens: readonly number[], maxNewTokens: number): AskedRequest => ({
  ...{ model: 'simulated', prompt: new PromptKeys({ tokens }), maxNewTokens },
  ...{ priority: 0, session: null, except: new Set(), fingerprint: null },
});

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
