/** Ranks that are lost while a job runs with on_peer_loss: mask. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { EngineError } from '../../../../lib/protocol/errors.js';
import type { Transformer } from '../../../../lib/model/transformer.js';
import type { Fault, LocalEngine, LocalEngineOptions } from '../../../kit/engine/local_engine.js';
import { replicated } from '../../../kit/engine/placements.js';
import { errorOf } from '../../../kit/rejects.js';
import { randomFrom } from '../../../refs/random.js';
import {
  PROMPTS,
  NUM_NEW,
  LAYER,
  withLocalEngine,
  type Story,
  generate,
  batch,
  lostOf,
  undisturbedBatch,
  frame,
} from '../../../kit/engine/masking.js';

for (const mla of ['absorbed', 'auto'] as const) {
  describe(`a lost rank, masked, mla ${mla}`, function () {
    this.timeout(60_000);
    const withEngine = <T>(options: LocalEngineOptions, use: (local: LocalEngine) => Promise<T>): Promise<T> =>
      withLocalEngine({ mla, ...options }, use);
    let undisturbed: Story[];

    before(async () => {
      undisturbed = await undisturbedBatch(mla);
    });

    const moments: [string, Fault[], number[][]][] = [
      ['in the first step, before it dispatches', [frame(1, 'dispatch', 0, 1)], [[1]]],
      ['before it dispatches', [frame(1, 'dispatch', 0)], [[1]]],
      ['when one of its peers has its dispatch and the other has not', [frame(0, 'dispatch', 1)], [[0]]],
      ['between dispatch and combine', [frame(2, 'combine', 0)], [[2]]],
      ['when one of its peers has its combine and the other has not', [frame(1, 'combine', 1)], [[1]]],
      ['in the last layer', [frame(1, 'combine', 1, 5, 2)], [[1]]],
      ['between two steps', [{ rank: 0, at: { kind: 'after_step', step: 3 } }], [[0]]],
    ];
    for (const [when, faults, lost] of moments) {
      it(`killed ${when}: with replicas every token, sample and route is as if nothing had happened`, async () => {
        await withEngine({ numRanks: 3, placement: replicated(2), faults }, async (local) => {
          expect(await batch(local)).to.deep.equal(undisturbed);
          expect(lostOf(local)).to.deep.equal(lost);
          expect(local.losses[0]!.numRecomputed).to.be.within(1, 2);
          expect(local.engine.stats()).to.deep.include({ lostRanks: lost.flat(), numDegradedTokens: 0 });
        });
      });
    }

    it('with replicas the logits of every token are as if nothing had happened, to the last bit', async () => {
      const logitsOf = (faults: readonly Fault[]): Promise<Buffer[]> =>
        withEngine({ numRanks: 3, placement: replicated(3), faults }, async (local) => {
          const rows: Buffer[] = [];
          for (const executor of local.executors) {
            const { model } = Reflect.get(executor, 'parts') as { model: Transformer };
            const forward = model.forward.bind(model);
            model.forward = async (request) => {
              const result = await forward(request);
              const { states } = result;
              const original = states?.logits.bind(states);
              if (states !== null) {
                states.logits = async (wanted) => {
                  const logits = await original!(wanted);
                  rows.push(...logits.map((row) => Buffer.from(row.values().buffer)));
                  return logits;
                };
              }
              return result;
            };
          }
          await generate(local, {});
          expect(lostOf(local)).to.have.length(faults.length);
          return rows;
        });
      const alone = await logitsOf([]);
      expect(alone).to.have.length(NUM_NEW);
      // A single sequence begins on rank 0, and goes to rank 1 then.
      const disturbed = await logitsOf([frame(0, 'dispatch', 0, 4), frame(1, 'dispatch', 0, 9)]);
      expect(disturbed.map((row, i) => row.equals(alone[i]!))).to.deep.equal(alone.map(() => true));
    });

    it('stopped: its peers accuse it after their timeout, and the others go on', async () => {
      const faults = [{ ...frame(1, 'combine', 1), how: 'stopped' as const }];
      await withEngine({ numRanks: 3, placement: replicated(2), faults, timeoutMs: 1000 }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1]]);
        const { error } = local.losses[0]!.lost[0]!;
        // A rank without tokens waits for no combine: it misses the next layer's rows.
        const where =
          /^TIMEOUT: rank 1 .*(combine of layer 1|dispatch of layer 2).* 1000 ms, says rank [02] in step 4;/;
        expect(error.message).to.match(where);
      });
    });

    it('with two micro-batches in flight too, at any frame of a layer', async () => {
      for (const phase of ['dispatch', 'combine'] as const) {
        for (const numSent of [0, 1, 2, 3]) {
          const options = { numRanks: 3, placement: replicated(2), microBatches: 2 };
          await withEngine({ ...options, faults: [frame(1, phase, numSent, 1)] }, async (local) => {
            expect(await batch(local)).to.deep.equal(undisturbed);
            expect(lostOf(local)).to.deep.equal([[1]]);
          });
        }
      }
    });

    it('frames of an abandoned step that arrive in the next epoch are discarded and counted', async () => {
      // Rank 2 reaches its peers late in the step in which rank 1 dies.
      const faults = [frame(1, 'combine', 0), { ...frame(2, 'combine', 0), how: 'late' as const }];
      await withEngine({ numRanks: 3, placement: replicated(2), faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1]]);
        expect(local.meshes[0]!.stats().stale).to.be.above(0);
      });
    });

    it('any ranks but one lost at random moments of a run: every event is as if nothing had happened', async () => {
      const random = randomFrom(5);
      const below = (count: number): number => Math.floor(random() * count);
      let numLost = 0;
      for (let run = 0; run < 12; run++) {
        const numRanks = 2 + below(3);
        const faults = Array.from({ length: numRanks - 1 }, (_, rank): Fault => {
          const step = 1 + below(14);
          const phase = below(2) === 0 ? 'dispatch' : 'combine';
          const moments: Fault['at'][] = [
            { kind: 'frame', step, layer: LAYER + below(2), phase, numSent: below(numRanks - 1) },
            { kind: 'after_step', step },
            { kind: 'before_result', step },
            { kind: 'epoch', epoch: 1 + below(2) },
          ];
          return { rank: (rank + run) % numRanks, at: moments[below(5)] ?? moments[0]! };
        });
        await withEngine({ numRanks, placement: replicated(numRanks), faults }, async (local) => {
          expect(await batch(local), JSON.stringify({ numRanks, faults })).to.deep.equal(undisturbed);
          numLost += lostOf(local).flat().length;
        });
      }
      expect(numLost).to.be.above(8);
    });

    it('stopped behind the last exchange of the last step, where no peer waits for it: it is missed when others have finished that', async () => {
      const faults: Fault[] = [{ rank: 1, at: { kind: 'before_result', step: NUM_NEW }, how: 'stopped' }];
      await withEngine({ numRanks: 3, placement: replicated(2), faults, timeoutMs: 1000 }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1]]);
        expect(local.losses[0]!.lost[0]!.error.message).to.match(
          /^TIMEOUT: rank 1 did not finish step 10 within \d+ ms after others had;/,
        );
      });
    });

    it('the link between two ranks that live is cut: one of them goes, and the others go on', async () => {
      for (const faults of [
        [{ ...frame(0, 'combine', 1), cutFrom: 2 }],
        [{ ...frame(2, 'dispatch', 0), cutFrom: 0 }],
      ]) {
        await withEngine({ numRanks: 3, placement: replicated(2), faults }, async (local) => {
          expect(await batch(local)).to.deep.equal(undisturbed);
          expect(lostOf(local)).to.deep.equal([[2]]);
          const { message } = local.losses[0]!.lost[0]!.error;
          // Rank 2 may be at step 4 already, while rank 0 waits for the last of its rows of step 3.
          expect(message).to.match(/^RANK_LOST: rank 2 .* of layer \d.*, says rank 0 in step [34];/);
        });
      }
    });

    it('two ranks killed in one step make one epoch', async () => {
      const faults = [frame(1, 'dispatch', 1), frame(2, 'dispatch', 1)];
      await withEngine({ numRanks: 3, placement: replicated(3), faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local).map((ranks) => ranks.sort())).to.deep.equal([[1, 2]]);
        expect(local.losses[0]).to.include({ epoch: 1, numRanksLeft: 1, abandonedStep: 4 });
      });
    });

    it('a rank killed while it is told of an epoch makes another epoch before a step runs', async () => {
      const faults: Fault[] = [frame(1, 'dispatch', 1), { rank: 0, at: { kind: 'epoch', epoch: 1 } }];
      await withEngine({ numRanks: 3, placement: replicated(3), faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(local.losses.map(({ epoch }) => epoch)).to.deep.equal([2]);
        expect(lostOf(local)).to.deep.equal([[1, 0]]);
      });
    });

    it('a rank that falls silent while it is told of an epoch is lost after its timeout', async () => {
      const faults: Fault[] = [frame(1, 'dispatch', 1), { rank: 2, at: { kind: 'epoch', epoch: 1 }, how: 'stopped' }];
      await withEngine({ numRanks: 3, placement: replicated(3), faults, timeoutMs: 1000 }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[1, 2]]);
        expect(local.losses[0]!.lost[1]!.error.message).to.match(/rank 2 did not enter epoch 1 within 1000 ms/);
      });
    });

    it('all but one killed, one after another: the last rank finishes everything', async () => {
      const faults = [frame(0, 'combine', 0, 2), frame(3, 'dispatch', 1, 4), frame(1, 'dispatch', 0, 7)];
      await withEngine({ numRanks: 4, placement: replicated(4), faults }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[0], [3], [1]]);
        expect(local.engine.stats().lostRanks).to.deep.equal([0, 1, 3]);
      });
    });

    it('a rank killed while the job is idle is told at once, and the next request runs without it', async () => {
      await withEngine({ numRanks: 3, placement: replicated(2) }, async (local) => {
        await generate(local, { maxNewTokens: 2 });
        local.fail(0);
        while (local.losses.length === 0) await new Promise((resolve) => setImmediate(resolve));
        expect(local.losses[0]).to.include({ abandonedStep: null, numRecomputed: 0, numRanksLeft: 2 });
        expect(await batch(local)).to.deep.equal(undisturbed);
        expect(lostOf(local)).to.deep.equal([[0]]);
      });
    });

    it('the last rank killed: every request fails with RANK_LOST', async () => {
      await withEngine({ numRanks: 2, faults: [frame(0, 'dispatch', 0), frame(1, 'dispatch', 0)] }, async (local) => {
        const errors = await Promise.all(
          PROMPTS.map((promptTokenIds) => errorOf(EngineError, () => generate(local, { promptTokenIds }))),
        );
        for (const { code, message } of errors) {
          expect(code).to.equal('RANK_LOST');
          expect(message).to.match(/no rank is left to go on with: rank [01] .* SIGKILL.*rank [01] .* SIGKILL/);
        }
      });
    });
  });
}
