import { expect } from 'chai';
import fc from 'fast-check';
import { CreditAccount, SendWindow } from '../../../comm/mesh/credit.js';
import { randomOf } from '../../kit/comm/all_to_all.js';
import { thrown } from '../../kit/errors.js';

const MAX_FRAME_BYTES = 1000;

/** A sender, a receiver and two wires between them; steps happen in random order. */
function run(microBatches: number, seed: number): { numHeld: number; numCredits: number; numFrames: number } {
  const random = randomOf(seed);
  const window = { numBytes: 2 * microBatches * MAX_FRAME_BYTES, numFrames: 4096 };
  const [sender, receiver] = [new SendWindow(window), new CreditAccount(window, MAX_FRAME_BYTES)];
  const numRounds = 50;
  // In lockstep: a frame per micro-batch and round; the next round is sent only when the previous one was taken by this side too.
  const toSend = Array.from({ length: numRounds * microBatches }, () => 40 + Math.floor(random() * 961));
  const [wire, back] = [[] as number[], [] as { numBytes: number; numFrames: number }[]];
  const waiting: number[] = [];
  let [numSent, numTaken, numHeld, numCredits] = [0, 0, 0, 0];
  const returnCredit = (): void => {
    const credit = receiver.due();
    if (credit === undefined) return;
    numCredits++;
    back.push(credit);
  };
  const steps = [
    (): boolean => {
      const mayBeAhead = numSent < numTaken + 2 * microBatches;
      if (numSent === toSend.length || !mayBeAhead) return false;
      if (!sender.canSend(toSend[numSent]!)) {
        numHeld++;
        return false;
      }
      sender.sent(toSend[numSent]!);
      wire.push(toSend[numSent]!);
      numSent++;
      return true;
    },
    (): boolean => {
      const frame = wire.shift();
      if (frame === undefined) return false;
      receiver.received(frame);
      waiting.push(frame);
      returnCredit();
      return true;
    },
    (): boolean => {
      const [frame] = waiting.splice(Math.floor(random() * waiting.length), 1);
      if (frame === undefined) return false;
      numTaken++;
      receiver.released(frame);
      returnCredit();
      return true;
    },
    (): boolean => {
      const credit = back.shift();
      if (credit === undefined) return false;
      sender.returned(credit);
      return true;
    },
  ];
  for (;;) {
    const order = steps.map((step) => ({ step, at: random() })).sort((a, b) => a.at - b.at);
    if (!order.some(({ step }) => step())) break;
  }
  expect([numSent, numTaken], 'nobody could move').to.deep.equal([toSend.length, toSend.length]);
  return { numHeld, numCredits, numFrames: toSend.length };
}

describe('credit', () => {
  it('never stops a peer in lockstep for good, whatever the order of events', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.integer(), (microBatches, seed) => {
        run(microBatches, seed);
      }),
      { numRuns: 300, seed: 9 },
    );
  });

  it('is gathered: small frames cost few messages', () => {
    const window = { numBytes: 2_000_000, numFrames: 4096 };
    const account = new CreditAccount(window, 1_000_000);
    let numCredits = 0;
    for (let i = 0; i < 10_000; i++) {
      account.received(100);
      account.released(100);
      if (account.due() !== undefined) numCredits++;
    }
    expect(numCredits).to.equal(9);
  });

  it('is returned at once when no frame of the largest size would fit', () => {
    const account = new CreditAccount({ numBytes: 16_000, numFrames: 4096 }, 1000);
    for (let i = 0; i < 15; i++) account.received(1000);
    account.released(1000);
    expect(account.due()).to.equal(undefined);
    account.received(40);
    expect(account.due()).to.deep.equal({ numBytes: 1000, numFrames: 1 });
    expect(account.due()).to.equal(undefined);
  });

  it('counts frames too, because those without payload are small', () => {
    const window = new SendWindow({ numBytes: 1e6, numFrames: 2 });
    window.sent(40);
    expect(window.canSend(40)).to.equal(true);
    window.sent(40);
    expect(window.canSend(40)).to.equal(false);
    window.returned({ numBytes: 40, numFrames: 1 });
    expect(window.canSend(40)).to.equal(true);
  });

  it('for what was never sent is a PROTOCOL error', () => {
    for (const credit of [
      { numBytes: 41, numFrames: 1 },
      { numBytes: 40, numFrames: 2 },
    ]) {
      const window = new SendWindow({ numBytes: 1000, numFrames: 10 });
      window.sent(40);
      thrown(() => window.returned(credit), 'PROTOCOL');
    }
  });
});
