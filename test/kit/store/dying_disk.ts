/** A disk whose process is killed in the middle of a call: what it did of that call is there, and nothing more comes. */
import { SYSTEM_CALLS, type DiskCalls } from '../../../lib/rank/store/disk_calls.js';

/** What of its last call a process did. */
export type LastCall = 'nothing' | 'half' | 'all';

/** The process is dead: it sees nothing of this. */
export class Killed extends Error {}

/** Counts calls, and dies at the nth, from 1. */
export class DyingDisk {
  /** In their order, and whether they can be half done. */
  readonly made: { readonly canBeHalf: boolean }[] = [];

  constructor(
    private readonly atCall = Infinity,
    private readonly last: LastCall = 'nothing',
  ) {}

  readonly calls: DiskCalls = {
    makeFolder: (path) => this.call(() => SYSTEM_CALLS.makeFolder(path)),
    namesIn: (path) => this.call(() => SYSTEM_CALLS.namesIn(path)),
    sizeOf: (path) => this.call(() => SYSTEM_CALLS.sizeOf(path)),
    write: (path, parts) =>
      this.call(
        () => SYSTEM_CALLS.write(path, parts),
        () => SYSTEM_CALLS.write(path, halfOf(parts)),
      ),
    read: (path, maxBytes) => this.call(() => SYSTEM_CALLS.read(path, maxBytes)),
    // The machine goes down: the name is on the disk, and the data isn't.
    rename: (from, to) =>
      this.call(
        () => SYSTEM_CALLS.rename(from, to),
        async () => {
          const { numBytes } = await SYSTEM_CALLS.sizeOf(from);
          await SYSTEM_CALLS.rename(from, to);
          await SYSTEM_CALLS.write(to, [new Uint8Array(numBytes)]);
        },
      ),
    remove: (path) => this.call(() => SYSTEM_CALLS.remove(path)),
    touch: (path) => this.call(() => SYSTEM_CALLS.touch(path)),
  };

  private async call<T>(act: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    const number = this.made.push({ canBeHalf: half !== undefined });
    if (number < this.atCall) return act();
    if (number === this.atCall && this.last === 'all') await act();
    if (number === this.atCall && this.last === 'half') await half?.();
    throw new Killed();
  }
}

function halfOf(parts: readonly Uint8Array[]): Uint8Array[] {
  const all = Buffer.concat(parts);
  return [all.subarray(0, all.length >> 1)];
}
