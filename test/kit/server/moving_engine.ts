/** A played engine whose requests may go on elsewhere: a test says how far they are. */
import { EngineError } from '../../../lib/protocol/errors.js';
import type { Offer, OfferEnd, OfferState } from '../../../lib/head/handover/offer.js';
import { Loan } from '../../../lib/head/kv/loan.js';
import type { EngineObserver } from '../../../lib/head/watchers.js';
import type { BlockHolder } from '../../../lib/protocol/kv_loan.js';
import type { ServedEngine } from '../../../lib/server/base/served_engine.js';
import type { SequenceLoads } from '../../../lib/head/scheduling/sequence_loads.js';
import { StoredBlocks } from '../../../lib/head/scheduling/blocks/stored_blocks.js';
import { GREEDY } from '../../../lib/protocol/sampling.js';
import { PlayedEngine } from './played_engine.js';

/** One offer: of a prompt of three tokens, that runs and has nothing yet. */
export class PlayedOffer implements Offer {
  readonly lease: Offer['lease'];
  end: OfferEnd | null = null;
  numCommits = 0;
  private shown: OfferState = {
    ...{ promptTokenIds: [1, 2, 3], outputTokenIds: [], sampling: { ...GREEDY, seed: 77 } },
    ...{ numTokens: 0, numExactTokens: 0, isPaused: false, pausesItself: false, isOver: false },
  };
  private where: ReturnType<Offer['place']> = null;
  private readonly waiting = new Set<() => void>();

  constructor(number: number) {
    this.lease = { id: number.toString(16).padStart(32, '0'), token: number.toString(16).padStart(64, 'f') };
  }

  /** Who waits for a change now. */
  get numWaiting(): number {
    return this.waiting.size;
  }

  /** Something changed. */
  set(state: Partial<OfferState>, where = this.where): void {
    this.shown = { ...this.shown, ...state };
    this.where = where;
    this.wake();
  }

  place(): ReturnType<Offer['place']> {
    this.check();
    return this.where;
  }

  state(): OfferState {
    this.check();
    return this.shown;
  }

  async changed(signal?: AbortSignal): Promise<void> {
    this.check();
    await new Promise<void>((resolve, reject) => {
      this.waiting.add(resolve);
      signal?.addEventListener('abort', () => {
        this.waiting.delete(resolve);
        reject(signal.reason as Error);
      });
    });
  }

  async pause(signal?: AbortSignal): Promise<OfferState> {
    this.check();
    while (this.shown.pausesItself && !this.shown.isPaused) await this.changed(signal);
    this.set({ isPaused: true });
    return this.shown;
  }

  commit(): void {
    this.check();
    if (!this.shown.isPaused) throw new EngineError('INVALID_REQUEST', 'it is not paused');
    this.numCommits++;
    this.over('committed');
  }

  rollback(): void {
    if (this.end === null) this.over('rolled_back');
  }

  /** It ends. */
  over(end: OfferEnd): void {
    this.end = end;
    this.wake();
  }

  /** Resolves when it has ended. */
  async ended(): Promise<OfferEnd> {
    while (this.end === null) await this.changed();
    return this.end;
  }

  private check(): void {
    if (this.end !== null) throw new EngineError('LEASE_OVER', `the offer is over (${this.end})`);
  }

  private wake(): void {
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

/** Offers what a test lets it. */
export class MovingEngine extends PlayedEngine {
  readonly kvIdentity = {
    fingerprint: 'f00d',
    shape: { numLayers: 2, dtype: 'f32', rowBytes: 256 } as const,
    sharing: 'salt',
  };
  readonly prefixSharing = { seed: 'salt', separatesForms: false };
  readonly storedBlocks = new StoredBlocks();
  /** By the ids of requests. */
  readonly offers = new Map<string, PlayedOffer>();

  /** From now on a request that is called so can move. */
  allow(id: string): PlayedOffer {
    const offer = new PlayedOffer(this.offers.size + 1);
    this.offers.set(id, offer);
    return offer;
  }

  /** Keys of blocks that it has, a character each per byte. */
  readonly keys: string[] = [];
  readonly loans: Loan[] = [];

  /** Fulfilled: all are queued at once. */
  readonly queued = (): Promise<void> => Promise.resolve();

  lend(keys: readonly string[]): Loan | null {
    const numBlocks = keys.findIndex((key) => !this.keys.includes(key));
    const terms = { rank: 0, place: { host: '127.0.0.1', port: 4321 }, blocks: [], timeoutMs: 1000 };
    const host = { after: () => () => undefined, ended: () => undefined };
    if (numBlocks === 0) return null;
    const loan = new Loan({ ...terms, numBlocks: numBlocks < 0 ? keys.length : numBlocks }, host);
    this.loans.push(loan);
    return loan;
  }

  /** Keys that were to be fetched, and from how many holders. */
  readonly fetched: (readonly [readonly string[], number])[] = [];

  fetch(keys: readonly string[], holders: readonly BlockHolder[]): Promise<number> {
    this.fetched.push([keys, holders.length]);
    return Promise.resolve(keys.length);
  }

  /** Who watches. */
  readonly observers = new Set<EngineObserver>();
  numRanks = 1;

  override get load(): ServedEngine['load'] {
    const { ranks, ...rest } = super.load;
    return { ...rest, ranks: Array.from({ length: this.numRanks }, (_, rank) => ({ ...ranks[0]!, rank })) };
  }

  override watch: ServedEngine['watch'] = (observer) => {
    this.observers.add(observer);
    return () => this.observers.delete(observer);
  };

  sequenceLoads(): SequenceLoads {
    return { numPrefillTokens: 0, sequences: [] };
  }

  offer(id: string): Offer {
    const offer = this.offers.get(id);
    if (offer === undefined) throw new EngineError('NOT_MOVABLE', `no request ${id} runs that may go on elsewhere`);
    return offer;
  }
}
