/** An instance without bytes: what it has cached is what real ledgers say, and what it computes takes the time that it is said to take. */
import type { BlockBatch } from '../../../lib/cluster/base/block_events.js';
import type { LoadReport } from '../../../lib/cluster/base/load_report.js';
import type { SentRequest } from '../../../lib/cluster/routing/sent_request.js';
import { BlockHasher, BlockKeys, type KeyedTokens } from '../../../lib/head/scheduling/blocks/block_keys.js';
import { BlockLedger } from '../../../lib/head/scheduling/blocks/block_ledger.js';
import { StoredBlocks } from '../../../lib/head/scheduling/blocks/stored_blocks.js';
import { Pins } from '../../../lib/head/scheduling/blocks/pins.js';
import { noTierCounts } from '../../../lib/head/kv/tier_counts.js';
import { TierLedger } from '../../../lib/head/kv/tier_ledger.js';
import type { Clock } from './clock.js';

/** How its blocks are named. */
export const SHARING = { seed: 'simulated', separatesForms: false };

/** How large and how fast one is. */
export interface InstanceShape {
  readonly numBlocks: number;
  /** That its tier holds besides; 0: it has none. */
  readonly numTierBlocks: number;
  readonly blockSize: number;
  readonly prefillTokensPerMs: number;
  /** Out of a tier or another instance. */
  readonly copiedTokensPerMs: number;
  /** Of one sequence alone; each further one adds a part. */
  readonly tbtMs: number;
}

/** What an instance tells, and what it was told. */
export interface InstanceParts extends InstanceShape {
  readonly id: string;
  readonly clock: Clock;
  /** Told at once. */
  readonly blocks: (batch: BlockBatch) => void;
}

/** Who is named to have the first blocks of a prompt. */
export interface NamedHolder {
  readonly instance: SimulatedInstance;
  readonly numBlocks: number;
}

/** A request. */
export interface Job extends KeyedTokens {
  readonly sent: SentRequest;
  readonly holders: readonly NamedHolder[];
  readonly onFirst: () => void;
  readonly onEnd: () => void;
}

/** Tokens of prompts, by where they came from. */
export interface PromptCounts {
  readonly computed: number;
  /** From other instances. */
  readonly fetched: number;
  /** From the tier. */
  readonly lifted: number;
  readonly cached: number;
}

const TBT_SHARE = 1 / 8;

/** Computes one prompt after the other, and generates beside. */
export class SimulatedInstance {
  numRequests = 0;
  /** Times that a holder was named that hadn't all that it was named for any more. */
  numVain = 0;
  readonly counts = { computed: 0, fetched: 0, lifted: 0, cached: 0 } satisfies PromptCounts;
  private readonly hasher: BlockHasher;
  private readonly ledger: BlockLedger;
  private readonly tier: TierLedger | null;
  private readonly stored = new StoredBlocks();
  private readonly waiting: Job[] = [];
  private isComputing = false;
  private numRunning = 0;
  private sequence = 0;
  private told = 0;

  constructor(private readonly parts: InstanceParts) {
    this.hasher = new BlockHasher(parts.blockSize, SHARING);
    this.ledger = new BlockLedger(parts.numBlocks);
    this.ledger.follow(this.stored);
    this.tier = parts.numTierBlocks === 0 ? null : this.tierOf(parts.numTierBlocks);
    this.tier?.follow(this.stored);
  }

  /** What it has in hand. */
  get load(): LoadReport {
    const { ledger, waiting, numRunning, parts } = this;
    const { numUsed: numUsedBlocks, numCached: numCachedBlocks } = ledger;
    return {
      ...{ instance: parts.id, incarnation: 'simulated', sequence: this.told++, requests: [] },
      ...{ numWaiting: waiting.length, numRunning, numKvBlocks: parts.numBlocks, numUsedBlocks, numCachedBlocks },
      numFreeBlocksOfRank: parts.numBlocks - numUsedBlocks,
      numPrefillTokens: waiting.reduce((sum, { promptTokenIds }) => sum + promptTokenIds.length, 0),
      ...{ prefillTokensPerS: null, tbtMs: null },
    };
  }

  /** A request comes. */
  begin(job: Job): void {
    this.numRequests++;
    this.waiting.push(job);
    this.next();
  }

  private next(): void {
    const { ledger, hasher, parts } = this;
    const { blockSize, clock, prefillTokensPerMs, copiedTokensPerMs } = parts;
    const [job] = this.waiting;
    if (job === undefined || this.isComputing) return;
    const { promptTokenIds, outputTokenIds } = job;
    const keys = new BlockKeys(hasher, { promptTokenIds, outputTokenIds: [] });
    const numMost = Math.floor((promptTokenIds.length - 1) / blockSize);
    const found = ledger.match(numMost, (i) => keys.at(i));
    const numLacking = Math.ceil((promptTokenIds.length + outputTokenIds.length) / blockSize) - found.length;
    if (ledger.numFree + ledger.numCached - ledger.numCachedOf(found) < numLacking) return; // once others end
    this.waiting.shift();
    ledger.share(found);
    const lifted = this.lifted(keys, found.length, numMost);
    this.tier?.hold(lifted);
    for (const { key } of ledger.evict(numLacking - ledger.numFree)) this.tier?.put(key, false);
    const blocks = [...found, ...ledger.take(numLacking)!];
    this.tier?.release(lifted, lifted.length);
    this.tier?.takeOrders(); // nobody has bytes
    const numOwn = found.length + lifted.length;
    const numFetched = this.fetched(job, keys, numOwn, numMost) * blockSize;
    const numComputed = promptTokenIds.length - numOwn * blockSize - numFetched;
    this.counts.computed += numComputed;
    this.counts.fetched += numFetched;
    this.counts.lifted += lifted.length * blockSize;
    this.counts.cached += found.length * blockSize;
    this.numRunning++;
    this.isComputing = true;
    const numCopied = numFetched + lifted.length * blockSize;
    const tookMs = numComputed / prefillTokensPerMs + numCopied / copiedTokensPerMs;
    clock.after(tookMs, () => this.computed(job, blocks));
  }

  /** Keys behind the first `numFound` that the tier has. */
  private lifted(keys: BlockKeys, numFound: number, numMost: number): readonly string[] {
    const lifted: string[] = [];
    while (numFound + lifted.length < numMost) {
      const key = keys.at(numFound + lifted.length);
      if (this.tier?.find(key) == null) break;
      lifted.push(key);
    }
    return lifted;
  }

  /** How many of a prompt's first blocks it has. */
  private numHeld(keys: BlockKeys, numMost: number): number {
    const numFound = this.ledger.match(numMost, (i) => keys.at(i)).length;
    return numFound + this.lifted(keys, numFound, numMost).length;
  }

  private tierOf(numBlocks: number): TierLedger {
    return new TierLedger({
      rooms: [{ tier: 'ram', maxBytes: numBlocks, bytesOf: () => 1 }],
      counters: [noTierCounts('ram')],
      pins: new Pins(0),
      isCached: (key) => this.ledger.find(key) !== undefined,
    });
  }

  /** Blocks behind the first `numFound` that a holder still has, of the one that is asked first and has any. */
  private fetched({ holders }: Job, keys: BlockKeys, numFound: number, numMost: number): number {
    for (const { instance, numBlocks } of holders) {
      const numNamed = Math.min(numBlocks, numMost);
      const numThere = instance.numHeld(keys, numNamed);
      if (numThere < numNamed) this.numVain++;
      if (numThere > numFound) return numThere - numFound;
    }
    return 0;
  }

  private computed(job: Job, blocks: readonly number[]): void {
    const { clock, tbtMs } = this.parts;
    this.isComputing = false;
    this.seal(job, blocks, job.promptTokenIds.length);
    job.sent.firstToken(clock.nowMs);
    job.onFirst();
    const eachMs = tbtMs * (1 + TBT_SHARE * (this.numRunning - 1));
    clock.after(eachMs * job.outputTokenIds.length, () => this.ended(job, blocks));
    this.next();
  }

  private ended(job: Job, blocks: readonly number[]): void {
    const numOutputTokens = job.outputTokenIds.length;
    this.seal(job, blocks, job.promptTokenIds.length + numOutputTokens);
    this.ledger.release(blocks);
    this.numRunning--;
    job.sent.ended({ numOutputTokens, isComplete: true }, this.parts.clock.nowMs);
    job.onEnd();
    this.next();
  }

  private seal(job: Job, blocks: readonly number[], numTokens: number): void {
    const keys = new BlockKeys(this.hasher, job);
    for (let i = 0; i < Math.floor(numTokens / this.parts.blockSize); i++) this.ledger.seal(blocks[i]!, keys.at(i));
    const { stored, removed } = this.stored.take();
    const events = [
      { kind: 'stored' as const, keys: stored.map(hexOf) },
      { kind: 'removed' as const, keys: removed.map(hexOf) },
    ];
    this.parts.blocks({ instance: this.parts.id, incarnation: 'simulated', sequence: this.sequence++, events });
  }
}

const hexOf = (key: string): string => Buffer.from(key, 'binary').toString('hex');
