/** Frames and waits by their key, without a string per frame: a hash of its numbers, and the numbers themselves where two hashes are equal. */
import { PHASES, type FrameKey } from './frame.js';

/** Whether both keys name the same frame. */
export function isSameKey(a: FrameKey, b: FrameKey): boolean {
  return (
    a.step === b.step &&
    a.layer === b.layer &&
    a.phase === b.phase &&
    a.microBatch === b.microBatch &&
    a.epoch === b.epoch
  );
}

/** An integer of 30 bits: V8 keeps those without an object. */
export function hashOfKey({ phase, step, layer, microBatch, epoch }: FrameKey): number {
  const place = PHASES.indexOf(phase) + 16 * layer;
  const hash = Math.imul(step, 0x9e3779b1) ^ Math.imul(place, 0x85ebca6b) ^ Math.imul(microBatch, 0xc2b2ae35);
  const mixed = Math.imul(hash ^ (hash >>> 15) ^ Math.imul(epoch, 0x27d4eb2f), 0x2545f491);
  return (mixed ^ (mixed >>> 13)) & 0x3fffffff;
}

/** One value per key. A list, since few are in it at a time, and a Map of numbers that come and go makes a new table every few of them. */
export class KeyTable<T> {
  private readonly hashes: number[] = [];
  private readonly keys: FrameKey[] = [];
  private readonly values: T[] = [];

  get size(): number {
    return this.values.length;
  }

  /** `hash`: of the key, as for every method. */
  get(key: FrameKey, hash: number): T | undefined {
    const at = this.placeOf(key, hash);
    return at < 0 ? undefined : this.values[at];
  }

  /** For a key that isn't there. */
  add(key: FrameKey, hash: number, value: T): void {
    this.hashes.push(hash);
    this.keys.push(key);
    this.values.push(value);
  }

  /** The value that was there. */
  take(key: FrameKey, hash: number): T | undefined {
    const at = this.placeOf(key, hash);
    return at < 0 ? undefined : this.takeAt(at);
  }

  /** Takes all values that `isWanted` names. */
  takeWhere(isWanted: (key: FrameKey) => boolean): T[] {
    const taken: T[] = [];
    for (let at = this.size - 1; at >= 0; at--) if (isWanted(this.keys[at]!)) taken.push(this.takeAt(at));
    return taken;
  }

  private placeOf(key: FrameKey, hash: number): number {
    for (let at = 0; at < this.hashes.length; at++) {
      if (this.hashes[at] === hash && isSameKey(this.keys[at]!, key)) return at;
    }
    return -1;
  }

  /** The last one takes its place. */
  private takeAt(at: number): T {
    const value = this.values[at]!;
    const last = this.size - 1;
    this.hashes[at] = this.hashes[last]!;
    this.keys[at] = this.keys[last]!;
    this.values[at] = this.values[last]!;
    this.hashes.pop();
    this.keys.pop();
    this.values.pop();
    return value;
  }
}

/** Keys that are remembered. */
const MAX_TAKEN = 1024;
const NUM_CHAINS = 2048;
const NONE = -1;
/** Numbers of one key. */
const WIDTH = 4;

/** The keys that were taken last, as numbers, so that they keep no frame alive; the oldest is forgotten first. */
export class TakenKeys {
  private readonly keys = new Uint32Array(WIDTH * MAX_TAKEN);
  private readonly chainOf = new Int16Array(MAX_TAKEN).fill(NONE);
  /** By chain: the newest of its keys; per key: the next older one of its chain. */
  private readonly newest = new Int16Array(NUM_CHAINS).fill(NONE);
  private readonly older = new Int16Array(MAX_TAKEN);
  private next = 0;

  /** `hash`: of the key, as for `add`. */
  has(key: FrameKey, hash: number): boolean {
    let at = this.newest[hash % NUM_CHAINS]!;
    while (at !== NONE && !this.isAt(at, key)) at = this.older[at]!;
    return at !== NONE;
  }

  /** Remembers a key that it doesn't have. */
  add({ phase, step, layer, microBatch, epoch }: FrameKey, hash: number): void {
    const at = this.next;
    const chain = hash % NUM_CHAINS;
    this.forget(at);
    this.keys[WIDTH * at] = step;
    this.keys[WIDTH * at + 1] = epoch;
    this.keys[WIDTH * at + 2] = layer * 0x1_0000 + microBatch;
    this.keys[WIDTH * at + 3] = PHASES.indexOf(phase);
    this.older[at] = this.newest[chain]!;
    this.newest[chain] = at;
    this.chainOf[at] = chain;
    this.next = (at + 1) % MAX_TAKEN;
  }

  private isAt(at: number, { phase, step, layer, microBatch, epoch }: FrameKey): boolean {
    const from = WIDTH * at;
    return (
      this.keys[from] === step &&
      this.keys[from + 1] === epoch &&
      this.keys[from + 2] === layer * 0x1_0000 + microBatch &&
      PHASES[this.keys[from + 3]!] === phase
    );
  }

  /** The oldest of all is the last in its chain. */
  private forget(oldest: number): void {
    const chain = this.chainOf[oldest]!;
    if (chain === NONE) return;
    let at = this.newest[chain]!;
    if (at === oldest) {
      this.newest[chain] = NONE;
      return;
    }
    while (this.older[at] !== oldest) at = this.older[at]!;
    this.older[at] = NONE;
  }
}
