import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { KvStorePlan } from '../../../../lib/protocol/kv_store_plan.js';
import { openStore } from '../../../../lib/rank/store/open_store.js';
import type { RankStore } from '../../../../lib/rank/store/rank_store.js';
import { contentOf, keyed, keysOf } from '../../../kit/store/played_rank.js';
import { SIZES } from '../../../kit/store/stored_blocks.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

/** A rank on a seat whose store keeps block 1 on disk; what it finds and says. */
class Seat {
  readonly said: string[] = [];

  private constructor(readonly store: Promise<RankStore>) {}

  static open(path: string, seat: number, identity = 'i'): Seat {
    const plan: KvStorePlan = { ...SIZES, ramBytes: null, disk: { path, identity, maxBytes: 2 ** 20 } };
    const cache = { read: () => Promise.resolve(contentOf(1).bytes), write: () => undefined };
    const own: Seat = new Seat(
      openStore(plan, seat, {
        cache,
        onLifted: () => undefined,
        onNews: ({ found, notice, gone }) =>
          void own.said.push(notice ?? (gone ? `gone: ${gone.join()}` : `found ${found.length}`)),
      }),
    );
    return own;
  }

  async hasBlock(): Promise<boolean> {
    return (await (await this.store).read(keysOf(1)[0]!)) !== null;
  }

  async keep(): Promise<void> {
    (await this.store).keep(keyed(1));
  }

  async close(): Promise<void> {
    await (await this.store).close();
  }
}

describe('folders of a disk tier', () => {
  const namesOf = async (path: string): Promise<string[]> => (await readdir(join(path, 'i'))).sort();

  it('are one for each seat and identity, and found again by who sits there later', () =>
    withTempFolder(async (path) => {
      const seats = [Seat.open(path, 0), Seat.open(path, 1), Seat.open(path, 0, 'other')];
      await Promise.all(seats.map((seat) => seat.keep()));
      await Promise.all(seats.map((seat) => seat.close()));
      expect(await namesOf(path)).to.deep.equal(['0', '1']);
      expect((await readdir(path)).sort()).to.deep.equal(['i', 'other']);
      const later = [Seat.open(path, 1), Seat.open(path, 2)];
      expect(await Promise.all(later.map((seat) => seat.hasBlock()))).to.deep.equal([true, false]);
      await Promise.all(later.map((seat) => seat.close()));
    }));

  it('that another job of this machine has are left to it: the next free one is taken', () =>
    withTempFolder(async (path) => {
      const first = [Seat.open(path, 0), Seat.open(path, 1)];
      await Promise.all(first.map((seat) => seat.store));
      const second = Seat.open(path, 0);
      await second.keep();
      await second.close();
      await Promise.all(first.map((seat) => seat.close()));
      expect(await namesOf(path)).to.deep.equal(['2']);
    }));

  it('of a process that was killed are free', () =>
    withTempFolder(async (path) => {
      const killed = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
      const exit = once(killed, 'exit');
      killed.kill('SIGKILL');
      await exit;
      await mkdir(join(path, 'i'));
      await writeFile(join(path, 'i', `0.${killed.pid}-1-${hostname()}.lock`), '');
      const seat = Seat.open(path, 0);
      await seat.keep();
      await seat.close();
      expect(await namesOf(path)).to.deep.equal(['0']);
    }));

  it('that another job lets go a moment later, because it began at the same time, are waited for', () =>
    withTempFolder(async (path) => {
      await mkdir(join(path, 'i'));
      const lock = `0.${process.ppid}-0-${hostname()}.lock`;
      await writeFile(join(path, 'i', lock), '');
      const seat = Seat.open(path, 0);
      while ((await readdir(join(path, 'i'))).length < 2) await new Promise(setImmediate); // it sees the other one, too
      await rm(join(path, 'i', lock));
      await seat.keep();
      await seat.close();
      expect(await namesOf(path)).to.deep.equal(['0']);
    }));

  it('that can’t be had are told of, with what to do, and the rank goes on', () =>
    withTempFolder(async (folder) => {
      const path = join(folder, 'file');
      await writeFile(path, '');
      const seat = Seat.open(path, 3);
      await seat.keep();
      (await seat.store).begin();
      expect(seat.said[0]).to.match(
        /^keeps no KV blocks in .*file \(.*ENOTDIR.*\): see to it, or give another path in engine.kv_tiers$/,
      );
      expect(seat.said[1]).to.equal('gone: disk');
      expect(await seat.hasBlock()).to.equal(false);
      await seat.close();
    }));
});
