/** States of sequences in a kernel memory: what layers without keys and values know of earlier tokens. Why: docs/decisions/states.md#a-sequence-has-one-state */
import { InternalError } from '../../../base/coded_error.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import type { SequencePart } from '../decoder/decoder.js';

/** Where a step finds the state of a part, and where it writes the copies that are kept. */
export interface PartStates {
  /** Of the sequence. */
  readonly own: number;
  /** `numTokens`: behind so many of the part's. */
  readonly kept: readonly { readonly numTokens: number; readonly address: number }[];
}

/** A sequence's state, and the position that it stands before. */
interface OwnState {
  readonly address: number;
  position: number;
}

/** One per sequence, changed in place, and those that blocks keep: each of them all layers' of this memory. */
export class KernelStates {
  private readonly own = new Map<number, OwnState>();
  /** Block → the state behind its last token. */
  private readonly kept = new Map<number, number>();

  /** `numFloats`: of one state. */
  constructor(
    private readonly memory: KernelMemory,
    readonly numFloats: number,
    private readonly blockSize: number,
  ) {}

  /**
   * Of the next step: its sequence's state is taken to stand behind the part from now on. At position 0 it is zeros, and where the sequence has none, or one of another
   * position, a copy of what the block before keeps.
   * @throws InternalError where there is none to begin with, or what is to be kept is not behind a block of the part; ExpertError OUT_OF_MEMORY
   */
  of({ position, numTokens, blocks, state }: SequencePart): PartStates {
    if (state === undefined) throw new InternalError('a step of a model with states says of no sequence whose it is');
    const own = this.stateAt(state.sequence, position, blocks);
    own.position = position + numTokens;
    const kept = state.keeps.map((end) => {
      const isEnd = end % this.blockSize === 0 && end > position && end <= position + numTokens;
      if (!isEnd) throw new InternalError(`a state is to be kept at ${end} of a part from ${position}`);
      return { numTokens: end - position, address: this.roomFor(blocks[end / this.blockSize - 1]!) };
    });
    return { own: own.address, kept };
  }

  /** A copy of what a block keeps; null: nothing. */
  read(block: number): Float32Array<ArrayBuffer> | null {
    const address = this.kept.get(block);
    return address === undefined ? null : this.memory.floats(address, this.numFloats).slice();
  }

  /** Replaces what a block keeps. @throws ExpertError OUT_OF_MEMORY */
  write(block: number, state: Float32Array): void {
    const address = this.roomFor(block);
    this.memory.floats(address, this.numFloats).set(state);
  }

  /** Forgets what blocks keep. */
  forget(blocks: readonly number[]): void {
    for (const block of blocks) {
      const address = this.kept.get(block);
      if (address !== undefined) this.memory.free(address);
      this.kept.delete(block);
    }
  }

  /** Forgets the states of sequences. */
  end(sequences: readonly number[]): void {
    for (const sequence of sequences) {
      const state = this.own.get(sequence);
      if (state !== undefined) this.memory.free(state.address);
      this.own.delete(sequence);
    }
  }

  /** Frees all. */
  dispose(): void {
    this.forget([...this.kept.keys()]);
    this.end([...this.own.keys()]);
  }

  private stateAt(sequence: number, position: number, blocks: readonly number[]): OwnState {
    const held = this.own.get(sequence);
    if (held?.position === position && position > 0) return held;
    const from = position === 0 ? undefined : this.kept.get(blocks[position / this.blockSize - 1] ?? -1);
    if (from === undefined && position > 0) {
      const stands = held === undefined ? 'has none' : `has that of position ${held.position}`;
      throw new InternalError(`sequence ${sequence} goes on at ${position} without a state: it ${stands}`);
    }
    const state = held ?? { address: this.memory.allocate(4 * this.numFloats), position };
    const values = this.memory.floats(state.address, this.numFloats);
    if (from === undefined) values.fill(0);
    else values.set(this.memory.floats(from, this.numFloats));
    this.own.set(sequence, state);
    return state;
  }

  private roomFor(block: number): number {
    const held = this.kept.get(block);
    if (held !== undefined) return held;
    const address = this.memory.allocate(4 * this.numFloats);
    this.kept.set(block, address);
    return address;
  }
}
