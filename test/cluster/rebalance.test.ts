/** Live rebalancing between real processes and threads: the same tokens, the weights that belong there, and what a killed rank does to it. */
import { expect } from 'chai';
import type { EngineError } from '../../lib/protocol/errors.js';
import { Engine } from '../../lib/head/engine.js';
import type { Loss } from '../../lib/head/step_loop.js';
import type { RebalanceEvent } from '../../lib/head/rebalancing/rebalance_stats.js';
import { loadConfig } from '../../lib/config/load.js';
import { generateIds } from '../kit/engine/engines.js';
import { MOVING } from '../kit/engine/moving.js';
import { moe7mCases } from '../kit/model/goldens.js';
import { moe7m } from '../kit/paths.js';
import { kill, Processes } from '../kit/processes/processes.js';

const processes = new Processes();
const CASES = moe7mCases().slice(0, 4);
const NUM_NEW = 32;

interface Observed {
  readonly engine: Engine;
  readonly rebalances: readonly RebalanceEvent[];
  readonly losses: readonly Loss[];
}

/** A job that plans every few steps and moves whatever gains anything. */
async function withEngine(
  ranks: number,
  set: readonly string[],
  use: (observed: Observed) => Promise<void>,
): Promise<void> {
  const rebalances: RebalanceEvent[] = [];
  const losses: Loss[] = [];
  const engine = await Engine.start({
    config: await loadConfig({
      base: { model: moe7m(), parallel: { ranks } },
      overrides: [...MOVING, ...set],
    }),
    onRebalance: (event) => void rebalances.push(event),
    onLoss: (loss) => void losses.push(loss),
  });
  try {
    await use({ engine, rebalances, losses });
  } finally {
    await engine.close();
  }
}

const numDone = (rebalances: readonly RebalanceEvent[]): number =>
  rebalances.filter(({ kind }) => kind === 'done').length;

/** All prompts at once; their tokens. */
const generateAll = (engine: Engine): Promise<(readonly number[])[]> =>
  Promise.all(
    CASES.map(async ({ prompt_token_ids: promptTokenIds }) => {
      return (await generateIds(engine, { promptTokenIds, maxNewTokens: NUM_NEW })).tokenIds;
    }),
  );

describe('live rebalancing between processes', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  const jobs: readonly [ranks: number, set: readonly string[]][] = [
    [2, []],
    [3, ['comm.io_thread=true']],
    [4, ['comm.micro_batches=2', 'load_balance.bytes_per_step=50000']],
    [3, ['experts.num_redundant_experts=8']],
    [2, ['comm.transport=threads']],
  ];
  for (const [ranks, set] of jobs) {
    it(`gives the golden tokens: ${ranks} ranks ${set.join(' ')}`, async () => {
      await withEngine(ranks, set, async ({ engine, rebalances }) => {
        do {
          const tokens = await generateAll(engine);
          expect(tokens).to.deep.equal(CASES.map(({ greedy_token_ids: golden }) => golden));
        } while (numDone(rebalances) < 2);
        const { rebalancing, ranks: stats } = engine.stats();
        expect(rebalancing!.numFailed, rebalancing!.lastError ?? '').to.equal(0);
        expect(rebalancing!.movedBytes).to.be.above(0);
        expect(stats).to.have.length(ranks);
      });
    });
  }

  /** Moves that take far more steps than a test has: a kill at any time is in the middle of one. */
  const SLOW = ['load_balance.bytes_per_step=768', 'load_balance.layer_updates_per_step=3'];

  /** Kills rank 1 while rows travel. */
  async function killWhileMoving({ engine }: Observed): Promise<(readonly number[])[]> {
    const generating = generateAll(engine);
    generating.catch(() => undefined); // told below
    while (engine.stats().rebalancing!.movedBytes === 0 && engine.stats().numSteps < 31) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(engine.stats().rebalancing!.movedBytes).to.be.above(0);
    kill(processes.rank(1).pid, 'SIGKILL');
    return generating;
  }

  it('a rank killed in the middle ends the job with its name, with on_peer_loss fail', async () => {
    await withEngine(3, [...SLOW, 'comm.on_peer_loss=fail'], async (observed) => {
      const error = (await killWhileMoving(observed).then(
        () => null,
        (thrown: unknown) => thrown,
      )) as EngineError | null;
      expect(error?.message).to.match(/^RANK_LOST: rank 1 .*SIGKILL/);
      expect(numDone(observed.rebalances)).to.equal(0);
    });
  });

  it('a rank killed in the middle is masked, and the placement is the old one without it', async () => {
    await withEngine(3, [...SLOW, 'comm.on_peer_loss=mask'], async (observed) => {
      const tokens = await killWhileMoving(observed);
      for (const ids of tokens) expect(ids).to.have.length(NUM_NEW);
      expect(observed.losses.map(({ lost }) => lost.map(({ rank }) => rank))).to.deep.equal([[1]]);
      expect(observed.engine.placement.version).to.equal(0);
      expect(numDone(observed.rebalances)).to.equal(0);
      const { engine } = observed;
      const events = await generateAll(engine);
      expect(events).to.have.length(CASES.length);
    });
  });
});
