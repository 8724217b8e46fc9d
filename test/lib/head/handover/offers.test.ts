import { expect } from 'chai';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { MAX_OFFERS } from '../../../../lib/head/handover/offers.js';
import type { Offer } from '../../../../lib/head/handover/offer.js';
import type { SequenceRequest } from '../../../../lib/head/scheduling/scheduler.js';
import { PlayedHead, LEASE_MS } from '../../../kit/engine/played_head.js';
import { OPTIONS, request, sampledToken } from '../../../kit/engine/scheduling.js';
import { errorOf } from '../../../kit/rejects.js';

/** The first tokens of output. */
const outputs = ({ sequence, promptTokenIds }: SequenceRequest, count: number): number[] =>
  Array.from({ length: count }, (_, i) => sampledToken(sequence, promptTokenIds.length + i));

const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'nothing was thrown';
};

/** How far it is: tokens there, tokens of output, where, and whether it is paused and over. */
function stand(offer: Offer): [number, number, number | null, boolean, boolean] {
  const { numTokens, outputTokenIds, isPaused, isOver } = offer.state();
  return [numTokens, outputTokenIds.length, offer.place()?.port ?? null, isPaused, isOver];
}

describe('an offer', () => {
  it('of a request that waits has nothing to read; it pauses at once, and moves without ever having run', async () => {
    const head = new PlayedHead({ ...OPTIONS, maxNumSeqs: 1 });
    head.add(request(0, 3, 3));
    const moved = head.add(request(1, 5, 2));
    await head.step();
    const offer = head.offer(1);
    expect(stand(offer)).to.deep.equal([0, 0, null, false, false]);
    expect((await offer.pause()).isPaused).to.equal(true);
    offer.commit();
    expect(moved).to.include({ end: 'moved' }).and.deep.include({ tokenIds: [] });
    while (await head.step());
    expect(head.taken.get(0)!.end).to.equal('length');
    expect(head.story).to.deep.equal([]);
    expect(head.numUsedBlocks).to.equal(0);
  });

  it('of a request that waits and is paused is passed over, and has its turn once it is rolled back', async () => {
    const head = new PlayedHead({ ...OPTIONS, maxNumSeqs: 1 });
    const [first, second] = [head.add(request(0, 3, 1)), head.add(request(1, 3, 1))];
    const offer = head.offer(0);
    await offer.pause();
    while (await head.step());
    expect([first.end, second.end]).to.deep.equal([null, 'length']);
    offer.rollback();
    while (await head.step());
    expect(first.end).to.equal('length');
  });

  it('follows a prompt chunk by chunk, and pauses between two of them', async () => {
    const head = new PlayedHead({ ...OPTIONS, maxNumBatchedTokens: 4 });
    const asked = request(0, 10, 2);
    const taken = head.add(asked);
    const offer = head.offer(0);
    await head.step();
    expect(stand(offer)).to.deep.equal([4, 0, 0, false, false]);
    head.begin();
    const pausing = offer.pause();
    await head.end();
    const state = await pausing;
    expect(state).to.deep.include({ numTokens: 8, numExactTokens: 8, outputTokenIds: [], isPaused: true });
    expect(await head.step()).to.equal(false);
    offer.rollback();
    while (await head.step());
    expect(taken.tokenIds).to.deep.equal(outputs(asked, 2));
    expect(head.story).to.deep.equal(['lease 0 on 0: 0 tokens', 'lease 0 on 0: 8 tokens', 'release 0 on 0']);
  });

  it('pauses behind the steps that were planned ahead, whose tokens count', async () => {
    const head = new PlayedHead(OPTIONS, 1);
    const asked = request(0, 3, 6);
    const taken = head.add(asked);
    await head.step(); // the prompt
    head.begin();
    const offer = head.offer(0);
    let isQuiet = false;
    const pausing = offer.pause().finally(() => (isQuiet = true));
    await head.end();
    expect([head.begin(), isQuiet]).to.deep.equal([false, false]);
    await head.end();
    expect(await pausing).to.deep.include({ outputTokenIds: outputs(asked, 3), numTokens: 5 });
    offer.commit();
    expect(taken).to.deep.include({ end: 'moved', tokenIds: outputs(asked, 3) });
    expect([head.numUsedBlocks, head.doors.size, head.timers.size]).to.deep.equal([0, 0, 0]);
  });

  it('that is rolled back goes on with the tokens that it would have had, whenever it paused', async () => {
    for (let at = 0; at < 8; at++) {
      const head = new PlayedHead({ ...OPTIONS, maxNumBatchedTokens: 2 }, 1);
      const asked = request(0, 5, 4);
      const taken = head.add(asked);
      for (let i = 0; i < at; i++) await head.step();
      if (taken.end !== null) break;
      const offer = head.offer(0);
      const pausing = offer.pause().catch(() => undefined); // its last token may be on the way
      while (await head.step());
      await pausing;
      offer.rollback();
      while (await head.step());
      expect(taken).to.deep.include({ end: 'length', tokenIds: outputs(asked, 4) });
    }
  });

  it('pauses by itself with as many tokens of output as were said, and not one more', async () => {
    for (const numAhead of [0, 1]) {
      const head = new PlayedHead(OPTIONS, numAhead);
      const asked = request(0, 3, 6);
      head.add(asked);
      const offer = head.offer(0, 3);
      while (await head.step());
      expect(stand(offer)).to.deep.equal([5, 3, 0, true, false]);
      offer.commit();
    }
  });

  it('isn’t paused before its last token was told', async () => {
    const head = new PlayedHead(OPTIONS);
    const asked = request(0, 3, 4);
    const taken = head.add(asked);
    const offer = head.offer(0);
    let take!: () => void;
    taken.ready = new Promise((resolve) => (take = resolve));
    head.begin();
    const ending = head.end();
    await Promise.resolve();
    let isPaused = false;
    const pausing = offer.pause().then(() => (isPaused = true));
    await new Promise(setImmediate);
    expect([isPaused, codeOf(() => offer.commit())]).to.deep.equal([false, 'INVALID_REQUEST']);
    take();
    await Promise.all([ending, pausing]);
    offer.commit();
    expect(taken).to.deep.include({ end: 'moved', tokenIds: outputs(asked, 1) });
  });

  it('is committed alone where it is paused', async () => {
    const head = new PlayedHead(OPTIONS);
    head.add(request(0, 3, 4));
    const offer = head.offer(0);
    await head.step();
    expect(codeOf(() => offer.commit())).to.equal('INVALID_REQUEST');
    expect(offer.end).to.equal(null);
  });

  it('of a request that ends is over, and says nothing of it', async () => {
    const head = new PlayedHead(OPTIONS);
    head.add(request(0, 3, 2));
    const offer = head.offer(0);
    const pausing = errorOf(EngineError, () => offer.changed().then(() => offer.pause()));
    head.giveUp(0);
    expect(offer.end).to.equal('finished');
    expect(await pausing).to.include({ code: 'LEASE_OVER' });
    for (const act of ['place', 'state', 'commit'] as const) expect(codeOf(() => offer[act]())).to.equal('LEASE_OVER');
    offer.rollback();
    expect([offer.end, head.timers.size]).to.deep.equal(['finished', 0]);
  });

  it('shuts its door before its blocks are freed, when its caller gives the request up', async () => {
    const head = new PlayedHead(OPTIONS);
    head.add(request(0, 6, 4));
    head.offer(0);
    await head.step();
    head.giveUp(0);
    expect(head.story).to.deep.equal(['lease 0 on 0: 0 tokens', 'release 0 on 0']);
    expect(head.numUsedBlocks).to.equal(0);
  });

  it('has nothing of a request that is over, or that nobody called movable, or that has another offer', async () => {
    const head = new PlayedHead(OPTIONS);
    head.add(request(0, 3, 1));
    const offer = head.offer(0);
    expect(codeOf(() => head.offer(0))).to.equal('NOT_MOVABLE');
    offer.rollback();
    head.offer(0).rollback();
    while (await head.step());
    expect(codeOf(() => head.offer(0))).to.equal('NOT_MOVABLE');
  });

  it(`is refused where ${MAX_OFFERS} others are open, and so is a request that would be offered at once`, () => {
    const head = new PlayedHead(OPTIONS);
    for (let i = 0; i <= MAX_OFFERS; i++) head.add(request(i, 2, 1));
    for (let i = 0; i < MAX_OFFERS; i++) head.offer(i);
    expect(codeOf(() => head.offer(MAX_OFFERS))).to.equal('QUEUE_FULL');
    expect(codeOf(() => head.add(request(MAX_OFFERS + 1, 2, 1), 1))).to.equal('QUEUE_FULL');
    head.giveUp(0);
    head.offer(MAX_OFFERS);
  });
});

describe('a lease', () => {
  it('runs out without a sign of life, and the request goes on', async () => {
    const head = new PlayedHead(OPTIONS);
    const asked = request(0, 3, 4);
    const taken = head.add(asked);
    const offer = head.offer(0);
    while (!offer.state().isPaused) {
      void offer.pause();
      await head.step();
    }
    head.timers.pass(LEASE_MS - 1);
    offer.state();
    head.timers.pass(LEASE_MS - 1);
    expect(offer.end).to.equal(null);
    head.timers.pass(1);
    expect([offer.end, head.doors.size]).to.deep.equal(['expired', 0]);
    while (await head.step());
    expect(taken).to.deep.include({ end: 'length', tokenIds: outputs(asked, 4) });
  });

  it('lasts while somebody waits for the sequence', async () => {
    const head = new PlayedHead(OPTIONS);
    head.add(request(0, 3, 4));
    const offer = head.offer(0);
    const leaving = new AbortController();
    const waiting = errorOf(Error, () => offer.changed(leaving.signal));
    head.timers.pass(5 * LEASE_MS);
    expect(offer.end).to.equal(null);
    leaving.abort(new Error('its client left'));
    expect(await waiting).to.include({ message: 'its client left' });
    head.timers.pass(LEASE_MS);
    expect(offer.end).to.equal('expired');
  });

  it('goes along when the rank of the sequence is lost: nothing is there until it runs elsewhere', async () => {
    const head = new PlayedHead({ ...OPTIONS, numRanks: 2 });
    const asked = request(0, 6, 8);
    const taken = head.add(asked);
    const offer = head.offer(0);
    for (let i = 0; i < 3; i++) await head.step();
    head.begin();
    head.lose(0);
    expect(stand(offer)).to.deep.equal([0, 3, null, false, false]);
    const pausing = offer.pause();
    expect((await pausing).numTokens).to.equal(0);
    expect(await head.step()).to.equal(false);
    offer.rollback();
    const again = head.offer(0);
    await head.step();
    expect(again.place()!.port).to.equal(1);
    while (await head.step());
    expect(taken.tokenIds).to.deep.equal(outputs(asked, 8));
    expect(head.story).to.deep.equal(['lease 0 on 0: 0 tokens', 'lease 0 on 1: 0 tokens', 'release 0 on 1']);
  });

  it('begins anew with a step that was abandoned: what it wrote may not be what counts', async () => {
    const head = new PlayedHead({ ...OPTIONS, numRanks: 2 });
    for (const sequence of [0, 1]) head.add(request(sequence, 6, 8));
    await head.step();
    const offer = head.offer(1);
    const { port } = offer.place()!;
    await head.step();
    head.begin();
    head.lose(1 - port);
    expect(head.story).to.deep.equal([
      `lease 1 on ${port}: 6 tokens`,
      `release 1 on ${port}`,
      `lease 1 on ${port}: 7 tokens`,
    ]);
  });

  it('goes along when the sequence gives way, and is told again when it runs again', async () => {
    const head = new PlayedHead({ ...OPTIONS, numKvBlocks: 5 });
    const asked = request(1, 8, 10);
    head.add(request(0, 8, 10));
    const taken = head.add(asked);
    head.offer(1);
    while (await head.step()) if (head.doors.size === 0 && head.story.length > 0 && taken.end === null) break;
    expect(head.story).to.deep.equal(['lease 1 on 0: 0 tokens', 'release 1 on 0']);
    while (await head.step());
    expect(taken.tokenIds).to.deep.equal(outputs(asked, 10));
    expect(head.numUsedBlocks).to.equal(0);
  });

  it('moves with its sequence to another rank of the instance; one that is paused stays until its offer ends', async () => {
    const head = new PlayedHead({ ...OPTIONS, numRanks: 2 });
    const asked = [0, 1].map((sequence) => request(sequence, 5, 30));
    const taken = asked.map((each) => head.add(each));
    for (let i = 0; i < 3; i++) await head.step();
    const [running, paused] = [head.offer(0), head.offer(1)];
    const from = [running.place()!.port, paused.place()!.port];
    const pausing = paused.pause();
    await head.step();
    await pausing;
    // Both ranks are to go to a third one, one after the other.
    await head.change(from[0]!, 'leaves');
    for (let i = 0; i < 6; i++) await head.step();
    expect(running.place()!.port).to.equal(from[1]);
    expect(head.story[2]).to.equal(`lease 1 on ${from[1]}: 7 tokens`);
    expect(head.story.slice(3)).to.deep.equal([`release 0 on ${from[0]}`, `lease 0 on ${from[1]}: 8 tokens`]);
    await head.change(from[0]!, 'joins');
    await head.change(from[1]!, 'leaves');
    for (let i = 0; i < 6; i++) await head.step();
    expect([running.place()!.port, paused.place()!.port]).to.deep.equal([from[0], from[1]]);
    paused.rollback();
    running.rollback();
    while (await head.step());
    expect(taken.map(({ tokenIds }) => tokenIds)).to.deep.equal(asked.map((each) => outputs(each, 30)));
  });
});

describe('a request that is handed over behind its prompt', () => {
  it('is offered from the queue on, pauses with its first token, and moves', async () => {
    const head = new PlayedHead({ ...OPTIONS, maxNumBatchedTokens: 4 }, 1);
    const asked = request(0, 10, 5);
    const taken = head.add(asked, 1);
    const offer = head.offer(0);
    expect(head.offer(0)).to.equal(offer);
    head.timers.pass(10 * LEASE_MS); // in the queue nobody has to give a sign of life
    while (await head.step());
    expect(stand(offer)).to.deep.equal([10, 1, 0, true, false]);
    offer.commit();
    expect(taken).to.deep.include({ end: 'moved', tokenIds: outputs(asked, 1) });
    expect(head.numUsedBlocks).to.equal(0);
  });

  it('goes on here where nobody comes for it, and may be offered again then', async () => {
    const head = new PlayedHead(OPTIONS, 1);
    const asked = request(0, 6, 5);
    const taken = head.add(asked, 1);
    while (await head.step());
    head.timers.pass(LEASE_MS);
    const offer = head.offer(0, 3);
    while (await head.step());
    expect(stand(offer)).to.deep.equal([8, 3, 0, true, false]);
    offer.rollback();
    while (await head.step());
    expect(taken).to.deep.include({ end: 'length', tokenIds: outputs(asked, 5) });
  });

  it('with one token is over, and its blocks are held until somebody took them, or nobody came', async () => {
    for (const end of ['committed', 'rolled_back', 'expired'] as const) {
      const head = new PlayedHead(OPTIONS, 1);
      const asked = request(0, 6, 1);
      const taken = head.add(asked, 1);
      while (await head.step());
      expect(taken.end).to.equal('length');
      const offer = head.offer(0);
      expect(stand(offer)).to.deep.equal([6, 1, 0, true, true]);
      expect([head.numUsedBlocks, head.doors.size]).to.deep.equal([2, 1]);
      if (end === 'committed') offer.commit();
      else if (end === 'rolled_back') offer.rollback();
      else head.timers.pass(LEASE_MS);
      expect([offer.end, head.numUsedBlocks, head.doors.size]).to.deep.equal([end, 0, 0]);
      expect(codeOf(() => head.offer(0))).to.equal('NOT_MOVABLE');
    }
  });

  it('makes room for who waits when it ends in any way, though no step runs', async () => {
    const ends: Readonly<Record<string, (head: PlayedHead, offer: Offer) => void>> = {
      committed: (_head, offer) => offer.commit(),
      expired: (head) => head.timers.pass(LEASE_MS),
      'given up': (head) => head.giveUp(0),
    };
    for (const maxNewTokens of [1, 5]) {
      for (const [how, end] of Object.entries(ends)) {
        if (how === 'given up' && maxNewTokens === 1) continue; // it is over
        const head = new PlayedHead({ ...OPTIONS, numKvBlocks: 4 });
        head.add(request(0, 12, maxNewTokens), 1);
        const waits = head.add(request(1, 12, 1));
        while (await head.step());
        expect(waits.end).to.equal(null);
        head.isWoken = false;
        end(head, head.offer(0));
        expect(head.isWoken, `${how} with ${maxNewTokens} tokens`).to.equal(true);
        while (await head.step());
        expect(waits.end).to.equal('length');
      }
    }
  });

  it('gives its blocks up to who waits for them where nobody takes it for long, though its lease lasts', async () => {
    const head = new PlayedHead({ ...OPTIONS, numKvBlocks: 4 });
    head.add(request(0, 12, 5), 1);
    const waits = head.add(request(1, 12, 1));
    while (await head.step());
    const offer = head.offer(0);
    for (let i = 0; i < 4; i++) {
      expect(stand(offer)).to.deep.equal([12, 1, 0, true, false]);
      head.timers.pass(LEASE_MS / 4);
    }
    expect([head.isWoken, ...stand(offer)]).to.deep.equal([true, 0, 1, null, true, false]);
    while (await head.step());
    expect(waits.end).to.equal('length');
    offer.commit();
    expect([head.numUsedBlocks, head.timers.size, head.taken.get(0)!.end]).to.deep.equal([0, 0, 'moved']);
  });

  it('gives its blocks up where a sequence that runs would lack them, and is lost', async () => {
    const head = new PlayedHead({ ...OPTIONS, numKvBlocks: 4 });
    head.add(request(0, 6, 1), 1);
    while (await head.step());
    const offer = head.offer(0);
    const asked = request(1, 6, 9);
    const taken = head.add(asked);
    while (await head.step());
    expect(offer.end).to.equal('lost');
    expect(taken).to.deep.include({ end: 'length', tokenIds: outputs(asked, 9) });
    expect([head.numUsedBlocks, head.doors.size, head.timers.size]).to.deep.equal([0, 0, 0]);
  });

  it('is lost with its rank, where it was over', async () => {
    const head = new PlayedHead({ ...OPTIONS, numRanks: 2 });
    head.add(request(0, 6, 1), 1);
    while (await head.step());
    const offer = head.offer(0);
    head.lose(offer.place()!.port);
    expect(offer.end).to.equal('lost');
    expect(await head.step()).to.equal(false);
  });

  it('is lost with its engine', async () => {
    const head = new PlayedHead(OPTIONS);
    head.add(request(0, 6, 1), 1);
    head.add(request(1, 6, 4));
    await head.step();
    const offers = [head.offer(0), head.offer(1)];
    head.requests.fail(new Error('the engine was closed'));
    expect(offers.map(({ end }) => end)).to.deep.equal(['lost', 'lost']);
    expect([head.timers.size, head.taken.get(1)!.end]).to.deep.equal([0, 'failed']);
  });
});
