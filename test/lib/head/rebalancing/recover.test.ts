/** Ranks that are lost while a job runs with on_peer_loss: recover. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { homelessIn } from '../../../../experts/placement/homes.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import type { LaterExperts } from '../../../kit/engine/local_job.js';
import {
  startLocalEngine,
  type Fault,
  type LocalEngine,
  type LocalEngineOptions,
} from '../../../kit/engine/local_engine.js';
import {
  batch,
  frame,
  generate,
  lostOf,
  undisturbedBatch,
  withLocalEngine,
  type Story,
} from '../../../kit/engine/masking.js';
import { replicated } from '../../../kit/engine/placements.js';
import { copyModel } from '../../../kit/model/model_copy.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { randomFrom } from '../../../refs/random.js';

const recovering = <T>(options: LocalEngineOptions, use: (local: LocalEngine) => Promise<T>): Promise<T> =>
  withLocalEngine({ onPeerLoss: 'recover', ...options }, use);

/** What became of experts, without how long it took. */
const homesOf = ({ homes }: LocalEngine): unknown[] =>
  homes.map((event) => {
    if (event.kind === 'recovered') return ['recovered', event.numExperts];
    if (event.kind === 'spread') return ['spread', event.why, event.moved.numMovedExperts > 0];
    return ['failed', event.error.message];
  });

describe('a lost rank whose experts others take over', function () {
  this.timeout(60_000);
  let undisturbed: Story[];

  before(async () => {
    undisturbed = await undisturbedBatch('absorbed');
  });

  const moments: [string, Fault[]][] = [
    ['in the first step, before it dispatches', [frame(1, 'dispatch', 0, 1)]],
    ['when one of its peers has its dispatch and the other has not', [frame(1, 'dispatch', 1)]],
    ['between dispatch and combine', [frame(1, 'combine', 0)]],
    ['in the last layer', [frame(1, 'combine', 1, 5, 2)]],
    ['between two steps', [{ rank: 1, at: { kind: 'after_step', step: 3 } }]],
  ];
  for (const [when, faults] of moments) {
    it(`killed ${when}: without replicas every token, sample and route is as if nothing had happened`, async () => {
      await recovering({ numRanks: 3, faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1]]);
        expect(local.engine.stats()).to.deep.include({ lostRanks: [1], numDegradedTokens: 0 });
        const [first] = homesOf(local);
        expect(first).to.deep.equal(['recovered', 10]);
      });
    });
  }

  it('with replicas nobody reads anything, and what was lost with the rank is copied beside the steps', async () => {
    await recovering({ numRanks: 3, placement: replicated(2), faults: [frame(1, 'dispatch', 0)] }, async (local) => {
      expect(await batch(local)).to.deep.equal(undisturbed);
      while (local.homes.length < 1) expect(await batch(local)).to.deep.equal(undisturbed);
      expect(homesOf(local)).to.deep.equal([['spread', 'rank 1 was lost', true]]);
    });
  });

  it('all but one, one after another or at once: the last rank holds everything, and goes on', async () => {
    for (const faults of [
      [frame(0, 'dispatch', 0, 3), frame(2, 'combine', 0, 8)],
      [frame(0, 'dispatch', 0, 3), { rank: 1, at: { kind: 'epoch', epoch: 1 } } as const],
      [frame(1, 'dispatch', 0, 4), frame(2, 'dispatch', 0, 4)],
    ]) {
      await recovering({ numRanks: 3, faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(local.engine.stats().numDegradedTokens).to.equal(0);
        expect(local.losses.at(-1)!.numRanksLeft).to.equal(1);
      });
    }
  });

  it('a rank killed while the job is idle: others take over at once, before anybody asks', async () => {
    await recovering({ numRanks: 3 }, async (local) => {
      await generate(local, {});
      local.fail(2);
      while (local.homes.length < 1) await new Promise((resolve) => setImmediate(resolve));
      expect(homesOf(local)[0]).to.deep.equal(['recovered', 10]);
      expect(await batch(local)).to.deep.equal(undisturbed);
    });
  });

  it('a rank without room for its share takes less, and one that can’t read nothing: others take more', async () => {
    for (const later of [
      { room: (rank: number, numOwn: number) => (rank === 0 ? 1 : numOwn) },
      { reading: (rank: number) => (rank === 0 ? Promise.reject(new Error('no such file')) : undefined) },
    ]) {
      await recovering({ numRanks: 3, faults: [frame(1, 'dispatch', 0)], later }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(homesOf(local)[0]).to.deep.equal(['recovered', 10]);
      });
    }
  });

  it('where nobody has room, or can read, the job ends and names experts and what to do', async () => {
    const endOf = (later: LaterExperts): Promise<EngineError> =>
      recovering({ numRanks: 2, faults: [{ rank: 1, at: { kind: 'after_step', step: 3 } }], later }, async (local) => {
        const error = await errorOf(EngineError, () => generate(local, {}));
        expect(local.engine.failure).to.equal(error);
        return error;
      });
    expect((await endOf({ room: () => 2 })).message).to.match(
      /^NO_ROOM: the ranks that are left have no room for experts .* of layer \d.*, which lost ranks held; start the job again with more ranks/,
    );
    expect((await endOf({ reading: () => Promise.reject(new Error('no such file')) })).message).to.match(
      /^EXPERTS_LOST: no rank that is left can read experts .* of layer 2, which lost ranks held \(rank 0: .*; look at the model folder/,
    );
  });

  it('nobody takes over what was written since the job began: it ends and says which file', async () => {
    await withTempFolder(async (dir) => {
      await copyModel(tinyModel('tiny-deepseek-v3'), dir);
      const file = join(dir, 'model.safetensors');
      const local = await startLocalEngine(dir, { numRanks: 3, onPeerLoss: 'recover' });
      try {
        await generate(local, {});
        const handle = await open(file, 'r+');
        await handle.write(Buffer.of(0xff), 0, 1, (await handle.stat()).size - 1);
        await handle.close();
        local.fail(1);
        const error = await errorOf(EngineError, () => generate(local, {}));
        expect(error.code).to.equal('EXPERTS_LOST');
        expect(error.message).to.match(/rank [02]: CHECKPOINT_CHANGED: .*model\.safetensors was written/);
      } finally {
        await local.close();
      }
    });
  });

  it('a rank that is killed, or stopped, while it takes experts over is lost too, and the others take over what it was to', async () => {
    for (const how of ['killed', 'stopped'] as const) {
      let ranks: LocalEngine | null = null;
      const reading = (rank: number): void => {
        if (rank === 2) ranks?.fail(2, how);
      };
      const options = { numRanks: 4, faults: [frame(1, 'dispatch', 0)], later: { reading }, timeoutMs: 500 };
      await recovering(options, async (local) => {
        ranks = local;
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1], [2]]);
        if (how === 'stopped') {
          const { message } = local.losses[1]!.lost[0]!.error;
          expect(message).to.include('TIMEOUT: rank 2 did not read an expert that it takes over within 500 ms');
        }
      });
    }
  });

  it('any ranks but one lost at random moments of a run: every event is as if nothing had happened', async () => {
    const random = randomFrom(7);
    for (let round = 0; round < 12; round++) {
      const numRanks = 2 + Math.floor(random() * 3);
      const ranks = [...Array(numRanks).keys()].sort(() => random() - 0.5).slice(1);
      const faults = ranks.slice(0, 1 + Math.floor(random() * ranks.length)).map((rank) => {
        const phase = random() < 0.5 ? 'dispatch' : 'combine';
        return frame(rank, phase, Math.floor(random() * (numRanks - 1)), 1 + Math.floor(random() * 8));
      });
      await recovering({ numRanks, faults }, async (local) => {
        expect(await batch(local), JSON.stringify(faults)).to.deep.equal(undisturbed);
        expect(homelessIn(local.engine.placement)).to.deep.equal([]);
      });
    }
  });
});
