/** Which experts of a rank are resident, and bringing the others in their place. */
import { ExpertError } from '../../compute/base/errors.js';
import type { ExpertName } from '../../compute/base/expert_compute.js';
import type { FfnWeights } from '../../compute/base/ffn_weights.js';
import type { StoredFfn } from '../../compute/base/stored_matrix.js';
import { bytesBefore, numRowsOf, type ExpertSizes } from '../../compute/base/weight_rows.js';
import type { WeightDtype } from '../../compute/base/weight_matrix.js';
import { fillExpert } from '../../compute/wasm/experts/load_expert.js';
import { WeightLoader } from '../../compute/wasm/memory/weight_loader.js';
import type { ExpertSlot, ExpertSlots } from './expert_slots.js';
import type { TierCounts } from './tier_counts.js';
import type { ExpertUse, TierPolicy } from './tier_policy.js';
import { WarmPlaces, type WarmPlacesParts } from './warm_places.js';
import { digestOfRows, digestOfWeights, isStoredAs, nameOf, readRows, TieredExpert } from './tiered_expert.js';

/** Where experts are read from. */
export interface TierSource {
  /** @throws what isn't there */
  stored(layer: number, expert: number): StoredFfn;
  /** Rejects where what was read from may have changed since it was opened. */
  checkUnchanged(): Promise<void>;
}

/** What a {@link TierStore} works with. */
export interface TierStoreParts {
  readonly slots: ExpertSlots<TieredExpert>;
  readonly sizes: ExpertSizes;
  readonly source: TierSource;
  readonly policy: TierPolicy;
  readonly counts: TierCounts;
  /** Where copies go of experts that leave their places. Default: they have none. */
  readonly warm?: Pick<WarmPlacesParts, 'slots' | 'dtype' | 'activation'> | null;
}

/** Owns experts and their places. */
export class TierStore {
  /** All that the rank holds. */
  readonly held = new Set<TieredExpert>();
  private readonly byName = new Map<string, TieredExpert>();
  private readonly loader = new WeightLoader(false);
  private readonly warm: WarmPlaces | null;
  /** Read ahead, and not used yet. */
  private readonly ahead = new Set<ExpertSlot<TieredExpert>>();
  private wanted: ReadonlySet<TieredExpert> = new Set();
  /** How many calls of {@link rows} wait for each: who came to be sent isn't sent away before it was, or two such would read each other out of their place for ever. */
  private readonly sending = new Map<TieredExpert, number>();
  private reads = 0;
  private numRaising = 0;
  private isUnchecked = false;
  private isDisposed = false;

  constructor(private readonly parts: TierStoreParts) {
    const { loader, held } = this;
    const owner = { loader, held, isBusy: (expert: TieredExpert) => this.isBusy(expert) };
    this.warm = parts.warm == null ? null : new WarmPlaces({ ...parts, ...parts.warm }, owner);
  }

  /** One that is on disk, and read when it is wanted. @throws what its source does where it isn't there */
  open(name: ExpertName, dtype: WeightDtype): TieredExpert {
    const expert = new TieredExpert(this, name, dtype, this.parts.source.stored(name.layer, name.expert));
    this.held.add(expert);
    this.byName.set(keyOf(name), expert);
    return expert;
  }

  /** The same of weights that came from elsewhere: resident where a place is free. What is read later must be the same. @throws ExpertError as KernelExpert.set; then it isn't held */
  place(weights: FfnWeights, dtype: WeightDtype, name: ExpertName): TieredExpert {
    const expert = this.open(name, dtype);
    if ([weights.gate, weights.up, weights.down].every((each) => each.dtype === dtype))
      expert.digest = digestOfWeights(weights);
    const slot = this.parts.slots.free(dtype);
    if (slot === null) return expert;
    try {
      slot.expert.set(weights);
    } catch (error) {
      this.release(expert);
      throw error;
    }
    take(slot, expert);
    slot.isReady = true;
    return expert;
  }

  /** The one of a name that is held. */
  find(name: ExpertName): TieredExpert | undefined {
    return this.byName.get(keyOf(name));
  }

  /** These stay where they are, until others are wanted. */
  want(experts: ReadonlySet<TieredExpert>): void {
    this.wanted = experts;
    this.parts.slots.changed();
  }

  /** The layer has begun: what was read ahead for others need not stay. */
  enter(layer: number): void {
    for (const slot of this.ahead) {
      if (slot.isAhead && slot.holder?.layer === layer) continue;
      slot.isAhead = false;
      this.ahead.delete(slot);
    }
  }

  /** Experts that are being read. */
  get numReading(): number {
    return this.reads;
  }

  /** Begins to read it into a place, unless it is being read. Resolves when it is ready, or its warm copy is. Null: no place can be had now. @throws ExpertError EXPERT_UNREADABLE; MISSING_EXPERT where it isn't held any more */
  bring(expert: TieredExpert): Promise<void> | null {
    if (this.isDisposed || !this.held.has(expert)) throw gone(expert);
    const coming = expert.reading ?? expert.warming;
    if (coming !== null) return coming;
    const slot = this.claim(expert, false);
    return slot && this.read(expert, slot);
  }

  /** The same before it is wanted, where that takes nobody's place who is wanted too. Null: not now. Errors are for who wants it. */
  bringAhead(expert: TieredExpert): void {
    if (expert.slot !== null || expert.warm !== null) return;
    const slot = this.claim(expert, true);
    if (slot === null) return;
    this.parts.counts.numAhead++;
    slot.isAhead = true;
    this.ahead.add(slot);
    void this.read(expert, slot);
  }

  /**
   * Reads what was used warm, where a resident one is worth less than it was before that use already; a few at a time. The place that goes next is left to what is on disk, or the two
   * would push each other out of it. Errors are for who wants it.
   */
  raise(expert: TieredExpert): void {
    const { slots, policy, counts } = this.parts;
    if (expert.slot !== null || expert.warm?.isReady !== true) return;
    if (this.numRaising >= Math.max(1, Math.min(MOST_RAISED, slots.all.length / RAISED_SHARE))) return;
    let slot = slots.free(expert.dtype);
    if (slot === null) {
      const able = this.able(expert).filter((each) => !each.isAhead);
      const next = this.leastOf(able, expert); // for what is on disk
      const rest = able.filter((each) => each !== next);
      slot = this.leastOf(rest, expert);
      if (slot === null || policy([expert.earlier, slot.holder!], expert) === 0) return;
      this.vacate(slot);
    }
    counts.numRaised++;
    this.numRaising++;
    const done = (): number => this.numRaising--;
    this.read(expert, slot).then(done, done);
  }

  /** Rows of an expert, as Expert.rows gives them. @throws ExpertError as {@link bring} */
  async rows(expert: TieredExpert, from: number, to: number): Promise<Uint8Array[]> {
    const { stored, dtype } = expert;
    const { sizes, slots } = this.parts;
    // One that must be the same as another rank's is looked at whole, in a place.
    if (!expert.isReady && expert.digest === null && isStoredAs(stored, dtype)) {
      const rows = await readRows(stored, sizes, from, to).catch((error: unknown) => {
        throw unreadable(expert, error);
      });
      this.isUnchecked = true;
      return rows;
    }
    this.sending.set(expert, (this.sending.get(expert) ?? 0) + 1);
    try {
      while (!expert.isReady) await (this.bring(expert) ?? slots.change());
      return await expert.slot!.expert.rows(from, to);
    } finally {
      this.sent(expert);
    }
  }

  /** The rank doesn't hold it any more. Idempotent. */
  release(expert: TieredExpert): void {
    if (!this.held.delete(expert)) return;
    if (this.byName.get(keyOf(expert)) === expert) this.byName.delete(keyOf(expert));
    if (expert.isReady) this.empty(expert.slot!);
    this.warm?.drop(expert);
    this.parts.slots.changed(); // who waits for its place is told that there will be none
  }

  /** Rejects where files were written since they were opened: what was computed since the last call doesn't count. */
  async settle(): Promise<void> {
    if (!this.isUnchecked) return;
    this.isUnchecked = false;
    await this.parts.source.checkUnchanged();
  }

  /** Gives the memory back. What is being read is of no use to anybody then. */
  dispose(): void {
    this.isDisposed = true;
    this.parts.slots.changed();
    if (this.reads === 0) this.close();
  }

  private sent(expert: TieredExpert): void {
    const numLeft = this.sending.get(expert)! - 1;
    if (numLeft > 0) this.sending.set(expert, numLeft);
    else this.sending.delete(expert);
    this.parts.slots.changed();
  }

  private close(): void {
    this.loader.close();
    this.parts.slots.dispose();
    this.warm?.dispose();
  }

  /** A place that is free, or whose holder goes. */
  private claim(expert: TieredExpert, isAhead: boolean): ExpertSlot<TieredExpert> | null {
    const free = this.parts.slots.free(expert.dtype);
    if (free !== null) return free;
    const able = this.able(expert);
    const calm = able.filter((slot) => !slot.isAhead);
    const slot = this.leastOf(calm.length > 0 || isAhead ? calm : able, expert);
    if (slot !== null) this.vacate(slot);
    return slot;
  }

  /** Places for an expert whose holders may go. */
  private able({ dtype }: TieredExpert): ExpertSlot<TieredExpert>[] {
    return this.parts.slots.ready(dtype).filter(({ holder }) => !this.isBusy(holder!) && !this.sending.has(holder!));
  }

  private isBusy(expert: TieredExpert): boolean {
    return this.wanted.has(expert);
  }

  /** Which of them goes; null: there is none. */
  private leastOf(slots: readonly ExpertSlot<TieredExpert>[], expert: TieredExpert): ExpertSlot<TieredExpert> | null {
    if (slots.length === 0) return null;
    const holders = slots.map(({ holder }): ExpertUse => holder!);
    return slots[this.parts.policy(holders, expert)]!;
  }

  /** Its holder goes, and leaves a warm copy where there is room for one. */
  private vacate(slot: ExpertSlot<TieredExpert>): void {
    const leaver = slot.holder!;
    this.empty(slot);
    slot.leaving = this.warm?.keep(leaver, slot.expert) ?? null;
  }

  private empty(slot: ExpertSlot<TieredExpert>): void {
    if (slot.holder !== null) slot.holder.slot = null;
    this.parts.slots.clear(slot);
    this.ahead.delete(slot);
  }

  private read(expert: TieredExpert, slot: ExpertSlot<TieredExpert>): Promise<void> {
    take(slot, expert);
    this.reads++;
    const reading = this.fill(expert, slot).finally(() => {
      expert.reading = null;
      this.reads--;
      if (!slot.isReady || this.isDisposed || !this.held.has(expert)) this.empty(slot);
      this.parts.slots.changed();
      if (this.isDisposed && this.reads === 0) this.close();
    });
    expert.reading = reading;
    reading.catch(() => undefined); // who wants it is told, if anybody does
    return reading;
  }

  private async fill(expert: TieredExpert, slot: ExpertSlot<TieredExpert>): Promise<void> {
    const { sizes, counts } = this.parts;
    if (slot.leaving !== null) await slot.leaving;
    slot.leaving = null;
    try {
      await fillExpert(this.loader, slot.expert, expert.stored);
    } catch (error) {
      throw unreadable(expert, error);
    }
    this.isUnchecked = true; // from now on: a look at the files before it was read says nothing of it
    const numRows = numRowsOf(sizes);
    if (expert.digest !== null && expert.digest !== digestOfRows(await slot.expert.rows(0, numRows)))
      throw otherThanSent(expert);
    expert.digest = null;
    counts.numReads++;
    counts.readBytes += bytesBefore({ ...sizes, dtype: expert.dtype }, numRows);
    slot.isReady = true;
  }
}

/** Of this many places one at most is read into at a time because its expert was used warm. */
const RAISED_SHARE = 4;
/** Nor more than this, or what is wanted would wait for reads that nobody waits for. */
const MOST_RAISED = 2;

const keyOf = ({ layer, expert }: ExpertName): string => `${layer}.${expert}`;

function take(slot: ExpertSlot<TieredExpert>, expert: TieredExpert): void {
  slot.holder = expert;
  expert.slot = slot;
}

/** With what its source says, and what to do of that. */
function unreadable(expert: ExpertName, cause: unknown): ExpertError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ExpertError('EXPERT_UNREADABLE', `${nameOf(expert)} is not resident and can't be read: ${why}`, { cause });
}

function gone(expert: ExpertName): ExpertError {
  return new ExpertError('MISSING_EXPERT', `${nameOf(expert)} is not held here any more; run the step again`);
}

function otherThanSent(expert: ExpertName): ExpertError {
  const message = `${nameOf(expert)} is another one in this rank's model folder than on the rank that sent it; copy the head's folder here`;
  return new ExpertError('EXPERT_UNREADABLE', message);
}
