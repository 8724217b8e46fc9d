/** A fixed number of places for experts in kernel memories: taken once, filled again and again, so that nothing grows and nothing lies between them that is too small. */
import { ExpertError } from '../../compute/base/errors.js';
import { SWIGLU, type ActivationSpec } from '../../compute/base/activation_spec.js';
import type { ExpertSizes } from '../../compute/base/weight_rows.js';
import type { WeightDtype } from '../../compute/base/weight_matrix.js';
import { expertBytes, KernelExpert } from '../../compute/wasm/experts/kernel_expert.js';
import type { KernelMemories } from '../../compute/wasm/memory/kernel_memories.js';
import type { SlotCount } from './tier_plan.js';

/** A place and what is in it. `H` is whoever may hold one. */
export interface ExpertSlot<H> {
  /** Of the holder's weights, where it {@link isReady}. */
  readonly expert: KernelExpert;
  readonly dtype: WeightDtype;
  holder: H | null;
  /** All of its holder's weights are here. */
  isReady: boolean;
  /** Came before it was wanted, and wasn't used since. */
  isAhead: boolean;
  /** Settles when what the last holder left is copied from here, and others may be read into it. Null: it may be now. */
  leaving: Promise<void> | null;
}

/** The places of one rank. */
export class ExpertSlots<H> {
  readonly all: readonly ExpertSlot<H>[];
  /** What the places take of the memories, as these have counted it. */
  readonly numBytes: number;
  private readonly byDtype: ReadonlyMap<WeightDtype, readonly ExpertSlot<H>[]>;
  private waiting: (() => void)[] = [];

  /** @throws ExpertError OUT_OF_MEMORY; then nothing is kept */
  constructor(
    memories: KernelMemories,
    counts: readonly SlotCount[],
    sizes: ExpertSizes,
    activation: ActivationSpec = SWIGLU,
  ) {
    const before = memories.stats().heldBytes;
    const all: ExpertSlot<H>[] = [];
    try {
      for (const { dtype, numSlots } of counts) {
        for (let i = 0; i < numSlots; i++) {
          const memory = memories.withRoom(expertBytes(sizes, dtype, activation));
          const expert = new KernelExpert(memory, sizes, dtype, activation);
          all.push({ expert, dtype, holder: null, isReady: false, isAhead: false, leaving: null });
        }
      }
    } catch (error) {
      for (const { expert } of all) expert.dispose();
      throw error;
    }
    this.all = all;
    this.numBytes = memories.stats().heldBytes - before;
    this.byDtype = new Map(counts.map(({ dtype }) => [dtype, all.filter((slot) => slot.dtype === dtype)]));
  }

  /** A place that nobody holds; null: there is none. @throws ExpertError INVALID_ARGUMENT for a type that has no places */
  free(dtype: WeightDtype): ExpertSlot<H> | null {
    return this.of(dtype).find(({ holder }) => holder === null) ?? null;
  }

  /** Places whose holder is resident. */
  ready(dtype: WeightDtype): ExpertSlot<H>[] {
    return this.of(dtype).filter(({ isReady }) => isReady);
  }

  /** How many of all are ready. */
  get numReady(): number {
    return this.all.reduce((sum, { isReady }) => sum + Number(isReady), 0);
  }

  /** Nobody holds the place any more. */
  clear(slot: ExpertSlot<H>): void {
    slot.holder = null;
    slot.isReady = false;
    slot.isAhead = false;
    this.changed();
  }

  /** Wakes who waits for {@link change}. */
  changed(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const wake of waiting) wake();
  }

  /** Resolves when a place became ready or free, or others are wanted. */
  change(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const { expert } of this.all) expert.dispose();
  }

  private of(dtype: WeightDtype): readonly ExpertSlot<H>[] {
    const slots = this.byDtype.get(dtype);
    if (slots !== undefined) return slots;
    throw new ExpertError('INVALID_ARGUMENT', `no place is planned for an expert as ${dtype}; please report this`);
  }
}
