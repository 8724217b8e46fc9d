/** What became of shards, as a bus tells it: each ends once. */
import { expect } from 'chai';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { shardOf } from '../../../lib/jobs/base/parse.js';
import type { Shard } from '../../../lib/jobs/base/task.js';
import { Told } from './told.js';

/** Watches all shards from now on. */
export class ShardHistory {
  private readonly told = new Told<{ readonly key: string; readonly text: string; readonly revision: number }>();
  private readonly stopWatching: () => void;

  constructor(private readonly bus: JobBus) {
    this.stopWatching = bus.records.watch('shard', {
      changed: (key, text, revision) => {
        if (text !== null) this.told.tell({ key, text, revision });
      },
    });
  }

  /** Resolves once so many are done. */
  async done(count: number): Promise<void> {
    await this.told.until(() => this.ended('done').size >= count);
  }

  /** The shards that are done, by key. */
  ended(state: Shard['state']): ReadonlyMap<string, Shard> {
    const all = this.told.all.map(({ key, text, revision }) => [key, shardOf({ key, text, revision })!] as const);
    return new Map(all.filter(([, shard]) => shard.state === state));
  }

  /** No shard changed after its end. */
  expectEndsOnce(): void {
    const ends = new Map<string, string>();
    for (const { key, text, revision } of this.told.all) {
      const end = ends.get(key);
      if (end !== undefined) expect(text, `${key} after its end`).to.equal(end);
      if (shardOf({ key, text, revision })!.state !== 'trying') ends.set(key, text);
    }
  }

  /** As {@link expectEndsOnce}, and what each of them left, a file with its index, is there. */
  async expectOnce(): Promise<void> {
    this.expectEndsOnce();
    for (const [key, shard] of this.ended('done')) {
      if (shard.state !== 'done') continue;
      expect(
        shard.files.map(({ name }) => name),
        key,
      ).to.deep.equal(['out.txt']);
      expect(await this.textOf(shard.files[0]!.blob), key).to.equal(key.split('.').at(-1));
    }
  }

  stop(): void {
    this.stopWatching();
  }

  private async textOf(blob: string): Promise<string> {
    const parts: Uint8Array[] = [];
    for await (const part of this.bus.blobs.get(blob)) parts.push(part);
    return Buffer.concat(parts).toString();
  }
}
