import type { KvTier } from '../../protocol/kv_store.js';

/** A tier, and what it may hold. */
export interface TierRoom {
  readonly tier: KvTier;
  readonly maxBytes: number;
  /** What a block takes of it. */
  readonly bytesOf: (hasState: boolean) => number;
}

/** What a tier holds of a block: keys and values, and the state that it keeps where it kept one. */
interface Shelved {
  readonly hasState: boolean;
  readonly numBytes: number;
}

/** Each takes some hundred bytes of the head, however small a model's blocks are. */
const MAX_KEYS = 2 ** 20;

/** What one tier of one rank holds, as the head counts it, least recently used first. Pure bookkeeping. */
export class TierShelf {
  private readonly shelved = new Map<string, Shelved>();
  private bytes = 0;
  private isClosed = false;

  constructor(readonly room: TierRoom) {}

  /** Blocks. */
  get size(): number {
    return this.shelved.size;
  }

  /** What they take. */
  get numBytes(): number {
    return this.bytes;
  }

  /** Whether a block with this key and its state is here, or without; null: it isn't. */
  stateOf(key: string): boolean | null {
    return this.shelved.get(key)?.hasState ?? null;
  }

  /** Least recently used first. */
  get keys(): readonly string[] {
    return [...this.shelved.keys()];
  }

  /** The least recently used one of those that may go; those that may not count as used now. Null: none may. */
  leastRecent(isKept: (key: string) => boolean): string | null {
    for (let left = this.shelved.size; left > 0; left--) {
      const [key] = this.shelved.keys();
      if (!isKept(key!)) return key!;
      this.use(key!);
    }
    return null;
  }

  /** Whether a block can be added once others have gone. */
  canHold(hasState: boolean): boolean {
    return !this.isClosed && this.room.bytesOf(hasState) <= this.room.maxBytes;
  }

  /** Whether one can be added now. */
  hasRoom(hasState: boolean): boolean {
    return this.shelved.size < MAX_KEYS && this.bytes + this.room.bytesOf(hasState) <= this.room.maxBytes;
  }

  /** Used last of all; one with the same key is replaced. */
  add(key: string, hasState: boolean): void {
    this.remove(key);
    const numBytes = this.room.bytesOf(hasState);
    this.shelved.set(key, { hasState, numBytes });
    this.bytes += numBytes;
  }

  /** It is used, where it is here. */
  use(key: string): void {
    const shelved = this.shelved.get(key);
    if (shelved === undefined) return;
    this.shelved.delete(key);
    this.shelved.set(key, shelved);
  }

  /** Nothing can be added from now on. */
  close(): void {
    this.isClosed = true;
  }

  /** False: it wasn't here. */
  remove(key: string): boolean {
    const shelved = this.shelved.get(key);
    if (shelved === undefined) return false;
    this.bytes -= shelved.numBytes;
    return this.shelved.delete(key);
  }
}
