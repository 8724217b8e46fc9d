import { BlockHasher, BlockKeys, type KeyedTokens } from '../../../lib/head/scheduling/blocks/block_keys.js';
import { BlockLedger } from '../../../lib/head/scheduling/blocks/block_ledger.js';
import { StoredBlocks } from '../../../lib/head/scheduling/blocks/stored_blocks.js';
import type { RoutingPolicy } from '../../../lib/cluster/base/routed_request.js';
import { blockSharingOf } from '../../../lib/cluster/routing/prompt_keys.js';
import { RoutingTable } from '../../../lib/cluster/routing/routing_table.js';
import type { SentRequest } from '../../../lib/cluster/routing/sent_request.js';
import { askedOf, recordOf, reportOf } from './views.js';

const BLOCK_SIZE = 16;
const SHARING = { seed: 'simulated', separatesForms: false };
const PREFILL_TOKENS_PER_MS = 2;
/** Of one sequence alone; each further one adds a part. */
const TBT_MS = 10;
const TBT_SHARE = 1 / 8;
/** Until a router knows what an instance tells. */
const TELL_MS = 20;
const REPORT_MS = 100;

/** What one client says: each turn once the one before was answered. */
export interface Conversation {
  readonly atMs: number;
  readonly turns: readonly { readonly said: readonly number[]; readonly answer: readonly number[]; readonly thinkMs: number }[]; // prettier-ignore
}

/** What came of a load. */
export interface Simulated {
  /** Of prompts, on all instances. */
  readonly numPrefillTokens: number;
  /** Requests by instance. */
  readonly numRequests: readonly number[];
  readonly meanTtftMs: number;
  readonly meanLatencyMs: number;
}

/** What happens when: of things at one moment that which was said first. */
class Clock {
  nowMs = 0;
  private readonly queue: { readonly atMs: number; readonly act: () => void }[] = [];

  after(ms: number, act: () => void): void {
    const atMs = this.nowMs + ms;
    const behind = this.queue.findIndex((each) => each.atMs > atMs);
    this.queue.splice(behind < 0 ? this.queue.length : behind, 0, { atMs, act });
  }

  run(): void {
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
      this.nowMs = next.atMs;
      next.act();
    }
  }
}

interface Job extends KeyedTokens {
  readonly sent: SentRequest;
  readonly onFirst: () => void;
  readonly onEnd: () => void;
  blocks: number[];
}

/** Computes one prompt after the other, and generates beside; its blocks are those of a real ledger. */
class Instance {
  numPrefillTokens = 0;
  numRequests = 0;
  private readonly hasher = new BlockHasher(BLOCK_SIZE, SHARING);
  private readonly ledger: BlockLedger;
  private readonly stored = new StoredBlocks();
  private readonly waiting: Job[] = [];
  private isComputing = false;
  private numRunning = 0;
  private sequence = 0;
  private told = 0;

  constructor(
    private readonly id: string,
    numBlocks: number,
    private readonly clock: Clock,
    private readonly table: RoutingTable,
  ) {
    this.ledger = new BlockLedger(numBlocks);
    this.ledger.follow(this.stored);
  }

  begin(job: Job): void {
    this.numRequests++;
    this.waiting.push(job);
    this.next();
  }

  report(): void {
    const { id, ledger, waiting, numRunning } = this;
    const numPrefillTokens = waiting.reduce((sum, { promptTokenIds }) => sum + promptTokenIds.length, 0);
    this.table.report(reportOf(id, { sequence: this.told++, numWaiting: waiting.length, numRunning, numUsedBlocks: ledger.numUsed, numPrefillTokens })); // prettier-ignore
  }

  private next(): void {
    const [job] = this.waiting;
    if (job === undefined || this.isComputing) return;
    const { promptTokenIds, outputTokenIds } = job;
    const keys = new BlockKeys(this.hasher, { promptTokenIds, outputTokenIds: [] });
    const found = this.ledger.match(Math.floor((promptTokenIds.length - 1) / BLOCK_SIZE), (i) => keys.at(i));
    const numLacking = Math.ceil((promptTokenIds.length + outputTokenIds.length) / BLOCK_SIZE) - found.length;
    const { numFree, numCached } = this.ledger;
    if (numFree + numCached - this.ledger.numCachedOf(found) < numLacking) return; // once others end
    this.waiting.shift();
    this.ledger.share(found);
    this.ledger.evict(numLacking - numFree);
    job.blocks = [...found, ...this.ledger.take(numLacking)!];
    const numTokens = promptTokenIds.length - found.length * BLOCK_SIZE;
    this.numPrefillTokens += numTokens;
    this.numRunning++;
    this.isComputing = true;
    this.clock.after(numTokens / PREFILL_TOKENS_PER_MS, () => this.computed(job));
  }

  private computed(job: Job): void {
    this.isComputing = false;
    this.seal(job, job.promptTokenIds.length);
    job.sent.firstToken(this.clock.nowMs);
    job.onFirst();
    const tbtMs = TBT_MS * (1 + TBT_SHARE * (this.numRunning - 1));
    this.clock.after(tbtMs * job.outputTokenIds.length, () => this.ended(job));
    this.next();
  }

  private ended(job: Job): void {
    const numOutputTokens = job.outputTokenIds.length;
    this.seal(job, job.promptTokenIds.length + numOutputTokens);
    this.ledger.release(job.blocks);
    this.numRunning--;
    job.sent.ended({ numOutputTokens, isComplete: true }, this.clock.nowMs);
    job.onEnd();
    this.next();
  }

  private seal(job: Job, numTokens: number): void {
    const keys = new BlockKeys(this.hasher, job);
    for (let i = 0; i < Math.floor(numTokens / BLOCK_SIZE); i++) this.ledger.seal(job.blocks[i]!, keys.at(i));
    this.tell();
  }

  private tell(): void {
    const { stored, removed } = this.stored.take();
    const hex = (keys: readonly string[]): string[] => keys.map((key) => Buffer.from(key, 'binary').toString('hex'));
    const events = [{ kind: 'stored' as const, keys: hex(stored) }, { kind: 'removed' as const, keys: hex(removed) }]; // prettier-ignore
    const batch = { instance: this.id, incarnation: 'x', sequence: this.sequence++, events };
    this.clock.after(TELL_MS, () => void this.table.apply(batch));
  }
}

/** A load on instances behind a router, in virtual time: the same numbers each time. */
export function simulated(
  conversations: readonly Conversation[],
  policy: RoutingPolicy,
  { numInstances, numBlocks, usesEvents = true }: { readonly numInstances: number; readonly numBlocks: number; readonly usesEvents?: boolean }, // prettier-ignore
): Simulated {
  const clock = new Clock();
  const table = new RoutingTable({ policy, usesEvents, ttlMs: 120_000, maxBlocks: 2 ** 20, lengthBuckets: [64, 256], sessions: { ttlMs: 1e6, maxSessions: 1000 }, localPrefillTokens: 0, replication: null }); // prettier-ignore
  const sharing = blockSharingOf(SHARING);
  const instances = new Map<string, Instance>();
  for (let i = 0; i < numInstances; i++) {
    table.join(recordOf(String(i), { sharing, blockSize: BLOCK_SIZE, numKvBlocks: numBlocks }));
    instances.set(String(i), new Instance(String(i), numBlocks, clock, table));
  }
  const ttftsMs: number[] = [];
  const latenciesMs: number[] = [];
  let numOpen = conversations.length;
  const say = ({ turns }: Conversation, turn: number, context: readonly number[]): void => {
    if (turn === turns.length) {
      numOpen--;
      return;
    }
    const { said, answer } = turns[turn]!;
    const promptTokenIds = [...context, ...said];
    const asked = askedOf(promptTokenIds, { maxNewTokens: answer.length });
    const route = table.route(asked, clock.nowMs);
    if (route.kind !== 'whole') throw new Error(`it went ${route.kind}`);
    const beganMs = clock.nowMs;
    instances.get(route.instance)!.begin({
      promptTokenIds,
      outputTokenIds: answer,
      blocks: [],
      sent: table.send(asked, route.instance, 'whole', clock.nowMs),
      onFirst: () => void ttftsMs.push(clock.nowMs - beganMs),
      onEnd: () => {
        latenciesMs.push(clock.nowMs - beganMs);
        clock.after(turns[turn + 1]?.thinkMs ?? 0, () =>
          say({ turns, atMs: 0 }, turn + 1, [...promptTokenIds, ...answer]),
        );
      },
    });
  };
  for (const each of conversations) clock.after(each.atMs, () => say(each, 0, []));
  const report = (): void => {
    for (const instance of instances.values()) instance.report();
    if (numOpen > 0) clock.after(REPORT_MS, report);
  };
  report();
  clock.run();
  const all = [...instances.values()];
  return {
    numPrefillTokens: all.reduce((sum, { numPrefillTokens }) => sum + numPrefillTokens, 0),
    numRequests: all.map(({ numRequests }) => numRequests),
    meanTtftMs: meanOf(ttftsMs),
    meanLatencyMs: meanOf(latenciesMs),
  };
}

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Prompt tokens that one instance with room for everything would compute. */
export const infiniteCache = (conversations: readonly Conversation[]): number =>
  simulated(conversations, (_request, [only]) => ({ kind: 'routed', instance: only!.record.id }), { numInstances: 1, numBlocks: 100_000 }).numPrefillTokens; // prettier-ignore
