/** What becomes of an all-to-all between real processes when a rank or a link fails in each of its phases. */
import { expect } from 'chai';
import { inputOf } from '../kit/comm/all_to_all.js';
import { ExchangeJob, type Address, type ExchangeJobOptions } from '../kit/comm/exchange_job.js';
import type { Reply } from '../kit/comm/exchange_rank.js';
import { WireRelay } from '../kit/comm/wire_relay.js';
import { refCombineSource } from '../refs/all_to_all_ref.js';

const SURVIVORS = [0, 1];
const VICTIM = 2;
const ALL = [0, 1, 2];
const TIMEOUT_MS = 1000;
/** A closed connection is noticed within 100 ms of running event loop; tested at five times the figure. */
const NOTICED_MS = 5 * 100;

const tagOf = (step: number) => ({ step, layer: 7, microBatch: 0, epoch: 0 });

/** A job of three ranks; ends it whatever happens. */
async function withJob(options: Partial<ExchangeJobOptions>, body: (job: ExchangeJob) => Promise<void>): Promise<void> {
  const job = await ExchangeJob.start({ size: 3, ...options });
  try {
    await body(job);
  } finally {
    await job.kill();
  }
}

/** A job in which every link goes through a relay; relay(a, b) carries the frames from a to b. */
async function withRelays(
  options: Partial<ExchangeJobOptions>,
  body: (job: ExchangeJob, relay: (from: number, to: number) => WireRelay) => Promise<void>,
): Promise<void> {
  const relays = new Map<string, WireRelay>();
  const routeOf = async (dialer: number, listener: number, address: Address): Promise<Address> => {
    if (dialer === listener) return address;
    const relay = await WireRelay.open(address);
    relays.set(`${listener}→${dialer}`, relay);
    return relay.address;
  };
  try {
    await withJob({ ...options, routeOf }, (job) => body(job, (from, to) => relays.get(`${from}→${to}`)!));
  } finally {
    await Promise.all([...relays.values()].map((relay) => relay.close()));
  }
}

/** y of a rank, without the experts of `lost` ranks, and which of its tokens miss one. */
function expected({ setup }: ExchangeJob, rank: number, lost: readonly number[]): { y: number[]; degraded: number[] } {
  const input = inputOf({ ...setup, rank }, rank);
  const isLost = (expert: number): boolean => lost.includes(Math.floor(expert / setup.slotsPerRank));
  const rows = [...input.topkIdx.entries()].filter(([, expert]) => isLost(expert));
  const degraded = [...new Set(rows.map(([i]) => Math.floor(i / setup.numTopk)))];
  const topkIdx = input.topkIdx.map((expert) => (isLost(expert) ? -1 : expert));
  return { y: [...refCombineSource({ ...input, topkIdx }, setup)], degraded };
}

function expectExact(job: ExchangeJob, ranks: readonly number[], replies: readonly Reply[], lost: readonly number[]) {
  for (const [i, { error, y, degradedRows, maskedRanks }] of replies.entries()) {
    const { y: exact, degraded } = expected(job, ranks[i]!, lost);
    expect(error).to.equal(undefined);
    expect(y).to.deep.equal(exact);
    expect(degradedRows).to.deep.equal(degraded);
    expect(maskedRanks).to.deep.equal(lost);
  }
}

/** Dispatch and combine on `ranks`, which must be exact. */
async function expectPair(
  job: ExchangeJob,
  ranks: readonly number[],
  step: number,
  lost: readonly number[],
): Promise<void> {
  const dispatched = await job.askAll(ranks, { kind: 'dispatch', tag: tagOf(step) });
  for (const { error } of dispatched) expect(error).to.equal(undefined);
  expectExact(job, ranks, await job.askAll(ranks, { kind: 'combine' }), lost);
}

/** When the victim fails, and in which phase the survivors meet it. */
interface Moment {
  readonly name: string;
  readonly phase: 'dispatch' | 'combine';
  /** Lets the job come to the moment, fails the victim, and gives what the survivors' call of `phase` came to, and how long it took since. */
  readonly reach: (
    job: ExchangeJob,
    fail: () => void,
  ) => Promise<{ readonly replies: Reply[]; readonly tookMs: number }>;
}

async function since<T>(startMs: number, replies: Promise<T>): Promise<{ replies: T; tookMs: number }> {
  return { replies: await replies, tookMs: performance.now() - startMs };
}

const MOMENTS: readonly Moment[] = [
  {
    name: 'before dispatch',
    phase: 'dispatch',
    reach(job, fail) {
      fail();
      return since(performance.now(), job.askAll(SURVIVORS, { kind: 'dispatch', tag: tagOf(1) }));
    },
  },
  {
    name: 'within dispatch',
    phase: 'dispatch',
    async reach(job, fail) {
      const replies = job.askAll(SURVIVORS, { kind: 'dispatch', tag: tagOf(1) });
      await job.ask(VICTIM, { kind: 'stats' }); // a turn later
      fail();
      return since(performance.now(), replies);
    },
  },
  {
    name: 'between dispatch and combine',
    phase: 'combine',
    async reach(job, fail) {
      await job.askAll(ALL, { kind: 'dispatch', tag: tagOf(1) });
      fail();
      return since(performance.now(), job.askAll(SURVIVORS, { kind: 'combine' }));
    },
  },
  {
    name: 'within combine',
    phase: 'combine',
    async reach(job, fail) {
      await job.askAll(ALL, { kind: 'dispatch', tag: tagOf(1) });
      const replies = job.askAll(SURVIVORS, { kind: 'combine' });
      await job.ask(VICTIM, { kind: 'stats' });
      fail();
      return since(performance.now(), replies);
    },
  },
  {
    name: 'after combine',
    phase: 'dispatch',
    async reach(job, fail) {
      await expectPair(job, ALL, 0, []);
      fail();
      return since(performance.now(), job.askAll(SURVIVORS, { kind: 'dispatch', tag: tagOf(1) }));
    },
  },
];

describe('a rank that fails', function () {
  this.timeout(60_000);

  for (const { name, phase, reach } of MOMENTS) {
    it(`killed ${name}: PEER_LOST names it, layer and phase, at once`, async () => {
      await withJob({}, async (job) => {
        const { replies, tookMs } = await reach(job, () => job.signal(VICTIM, 'SIGKILL'));
        for (const { error } of replies) {
          expect(error).to.include({ code: 'PEER_LOST', rank: VICTIM, layer: 7, phase });
          expect(error!.message).to.match(/rank 2 .*look at the log of rank 2/);
        }
        expect(tookMs).to.be.below(NOTICED_MS);
        await job.close(SURVIVORS);
      });
    });

    it(`killed ${name}, with mask: the others go on without it, exactly`, async () => {
      await withJob({ onPeerLoss: 'mask' }, async (job) => {
        let { replies } = await reach(job, () => job.signal(VICTIM, 'SIGKILL'));
        if (phase === 'dispatch') replies = await job.askAll(SURVIVORS, { kind: 'combine' });
        expectExact(job, SURVIVORS, replies, [VICTIM]);
        await expectPair(job, SURVIVORS, 2, [VICTIM]);
        await job.close(SURVIVORS);
      });
    });

    // Two jobs that wait for their deadlines side by side.
    it(`stopped ${name}: TIMEOUT names it, layer, phase and how long it was awaited; with mask the others go on without it, exactly`, () =>
      Promise.all([
        withJob({ timeoutMs: TIMEOUT_MS }, async (job) => {
          const { replies, tookMs } = await reach(job, () => job.signal(VICTIM, 'SIGSTOP'));
          for (const { error } of replies) {
            expect(error).to.include({ code: 'TIMEOUT', rank: VICTIM, layer: 7, phase, waitedMs: TIMEOUT_MS });
          }
          expect(tookMs).to.be.below(5 * TIMEOUT_MS);
        }),
        withJob({ onPeerLoss: 'mask', timeoutMs: TIMEOUT_MS }, async (job) => {
          let { replies } = await reach(job, () => job.signal(VICTIM, 'SIGSTOP'));
          if (phase === 'dispatch') replies = await job.askAll(SURVIVORS, { kind: 'combine' });
          expectExact(job, SURVIVORS, replies, [VICTIM]);
          await expectPair(job, SURVIVORS, 2, [VICTIM]);
        }),
      ]));
  }
});

describe('a link that fails', function () {
  this.timeout(60_000);

  it('cut: its two ends lose each other, and only they', async () => {
    await withRelays({ onPeerLoss: 'mask' }, async (job, relay) => {
      await expectPair(job, ALL, 0, []);
      relay(0, 2).cut();
      await job.askAll(ALL, { kind: 'dispatch', tag: tagOf(1) });
      const [zero, one, two] = await job.askAll(ALL, { kind: 'combine' });
      expectExact(job, [0], [zero!], [2]);
      expectExact(job, [1], [one!], []);
      expectExact(job, [2], [two!], [0]);
      await job.close(ALL);
    });
  });

  it('cut in the middle of a frame: PEER_LOST, and nothing of the half frame is used', async () => {
    await withRelays({}, async (job, relay) => {
      relay(2, 0).treat('half');
      const replies = job.askAll(ALL, { kind: 'dispatch', tag: tagOf(1) });
      expect((await replies)[0]!.error).to.include({ code: 'PEER_LOST', rank: 2, layer: 7, phase: 'dispatch' });
    });
  });

  it('slow: frames that come late, within the deadline, change nothing', async () => {
    await withRelays({}, async (job, relay) => {
      relay(2, 0).treat('hold');
      const replies = job.askAll(ALL, { kind: 'dispatch', tag: tagOf(1) });
      await job.ask(1, { kind: 'stats' });
      relay(2, 0).release();
      for (const { error } of await replies) expect(error).to.equal(undefined);
      expectExact(job, ALL, await job.askAll(ALL, { kind: 'combine' }), []);
      await job.close(ALL);
    });
  });

  it('too slow, with mask: frames that come after the deadline are discarded and counted, never mixed in', async () => {
    await withRelays({ onPeerLoss: 'mask', timeoutMs: TIMEOUT_MS }, async (job, relay) => {
      relay(2, 0).treat('hold');
      await job.askAll(ALL, { kind: 'dispatch', tag: tagOf(1) });
      const [zero, one] = await job.askAll([0, 1], { kind: 'combine' });
      expectExact(job, [0], [zero!], [2]);
      relay(2, 0).release();
      let stale = 0;
      while (stale === 0) stale = (await job.ask(0, { kind: 'stats' })).mesh!.stale;
      expect(one!.error).to.equal(undefined);
      await expectPair(job, [0, 1], 2, [2]);
      // A new epoch on all ranks, and it is in again.
      await job.askAll(ALL, { kind: 'clear_mask' });
      await job.askAll(ALL, { kind: 'epoch', epoch: 1 });
      const tag = { ...tagOf(3), epoch: 1 };
      for (const { error } of await job.askAll(ALL, { kind: 'dispatch', tag })) expect(error).to.equal(undefined);
      expectExact(job, ALL, await job.askAll(ALL, { kind: 'combine' }), []);
      await job.close(ALL);
    });
  });

  it('that repeats frames: each counts once', async () => {
    await withRelays({}, async (job, relay) => {
      relay(2, 0).treat('repeat');
      for (const step of [0, 1, 2]) await expectPair(job, ALL, step, []);
      const { mesh } = await job.ask(0, { kind: 'stats' });
      expect(mesh!.duplicates).to.be.within(5, 6); // the last repetition may still be on its way
      await job.close(ALL);
    });
  });

  it('that swaps frames: they match by tag', async () => {
    await withRelays({}, async (job, relay) => {
      relay(2, 0).treat('swap');
      const replies = await job.askAll(ALL, { kind: 'micro_batches', step: 1 });
      expectExact(job, ALL, replies, []);
      await job.close(ALL);
    });
  });

  it('that spoils a frame is cut: PROTOCOL says who sent it', async () => {
    await withRelays({ timeoutMs: TIMEOUT_MS }, async (job, relay) => {
      relay(2, 0).treat('spoil');
      const [zero] = await job.askAll([0, 2], { kind: 'dispatch', tag: tagOf(1) });
      expect(zero!.error).to.include({ code: 'PROTOCOL', rank: 2, phase: 'dispatch' });
    });
  });
});
