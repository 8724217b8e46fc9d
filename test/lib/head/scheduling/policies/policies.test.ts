import { expect } from 'chai';
import { lpm } from '../../../../../lib/head/scheduling/policies/lpm.js';
import { priority } from '../../../../../lib/head/scheduling/policies/priority.js';
import type { Place } from '../../../../../lib/head/scheduling/policy.js';
import { Scheduler } from '../../../../../lib/head/scheduling/scheduler.js';
import {
  OPTIONS,
  place,
  request,
  runningView,
  sequencesOf,
  stepOf,
  waitingView,
} from '../../../../kit/engine/scheduling.js';

const BUDGET = { numTokens: 8, numBytes: 8 };

describe('the policy priority', () => {
  it('admits the most urgent, among equals who came first, and keeps others waiting where it finds no room', () => {
    const waiting = [1, 0, 0, -3].map((urgency, sequence) => waitingView(sequence, { priority: urgency }));
    expect(priority.admit(waiting, () => [place(0, 0)])?.sequence).to.equal(3);
    expect(priority.admit(waiting.slice(0, 3), () => [place(0, 0)])?.sequence).to.equal(1);
    const placesOf = (sequence: number) => (sequence === 3 ? [] : [place(0, 0)]);
    expect(priority.admit(waiting, placesOf)).to.equal(null);
    expect(priority.admit([], placesOf)).to.equal(null);
  });

  it('computes the prompts of the most urgent first, behind all generated tokens', () => {
    const running = [
      runningView(0, 6, false, false, 2),
      runningView(1, 1, true, false, 9),
      runningView(2, 4, false, false, 1),
    ];
    expect(priority.plan(running, BUDGET)).to.deep.equal([
      { sequence: 1, numTokens: 1 },
      { sequence: 2, numTokens: 4 },
      { sequence: 0, numTokens: 3 },
    ]);
  });

  it('lets the least urgent give way, among equals who was admitted last', () => {
    const running = [5, 7, 7, 1].map((urgency, sequence) => runningView(sequence, 1, true, false, urgency));
    expect(priority.preempt(running)).to.equal(2);
  });

  it('takes the priority that a request has: the urgent one overtakes those that wait, and the least urgent gives way to it', () => {
    const scheduler = new Scheduler({ ...OPTIONS, maxNumSeqs: 2, numKvBlocks: 4, policy: priority });
    for (const urgency of [0, 2, 1]) scheduler.add(request(urgency, 6, 6, { priority: urgency }));
    expect(sequencesOf(stepOf(scheduler))).to.deep.equal([[0, 1]]);
    const moves = [];
    while (scheduler.counts.numPreempted === 0) {
      scheduler.takeMoves();
      stepOf(scheduler);
      moves.push(...scheduler.takeMoves());
    }
    expect(moves).to.deep.include({ kind: 'preempted', sequence: 1, rank: 0 });
    scheduler.finish(0);
    expect(sequencesOf(stepOf(scheduler)), 'before the one that never ran').to.deep.equal([[1]]);
  });
});

describe('the policy lpm', () => {
  const cached = (...numCached: number[]) => {
    const placesOf = (sequence: number): Place[] => [place(sequence % 2, 0, { numCachedTokens: numCached[sequence]! })];
    return placesOf;
  };

  it('admits the request with the most tokens in the cache of the rank that it would go to, among equals who came first', () => {
    const waiting = [0, 1, 2, 3].map((sequence) => waitingView(sequence));
    expect(lpm.admit(waiting, cached(0, 16, 32, 32))).to.deep.equal({ sequence: 2, rank: 0 });
    expect(lpm.admit(waiting, cached(0, 0, 0, 0))).to.deep.equal({ sequence: 0, rank: 0 });
    expect(lpm.admit(waiting, () => [])).to.equal(null);
    expect(lpm.admit([], cached())).to.equal(null);
  });

  it('passes over requests that there is no room for', () => {
    const placesOf = (sequence: number) => [
      place(0, 0, { numCachedTokens: 8 - sequence, numFreeBlocks: sequence === 0 ? -1 : 0 }),
    ];
    expect(lpm.admit([waitingView(0), waitingView(1)], placesOf)?.sequence).to.equal(1);
  });

  it('admits the one first that enough others overtook, and nobody before it where it finds no room', () => {
    const waiting = [waitingView(0, { numOvertaken: 63 }), waitingView(1, { numOvertaken: 64 }), waitingView(2)];
    expect(lpm.admit(waiting, cached(0, 0, 32))?.sequence).to.equal(1);
    expect(lpm.admit(waiting, (sequence) => (sequence === 1 ? [] : [place(0, 0)]))).to.equal(null);
  });

  it('compares no more than the first 64', () => {
    const asked = new Set<number>();
    lpm.admit(
      Array.from({ length: 100 }, (_, sequence) => waitingView(sequence)),
      (sequence) => {
        asked.add(sequence);
        return [place(0, 0)];
      },
    );
    expect([...asked]).to.deep.equal(Array.from({ length: 64 }, (_, sequence) => sequence));
  });

  it('serves those that share a prefix together, and starves nobody', () => {
    const scheduler = new Scheduler({ ...OPTIONS, maxNumSeqs: 1, policy: lpm });
    const order: number[] = [];
    /** Runs the next one to its end, and has another one of the same family come. */
    const serve = (next: number): void => {
      const [[sequence]] = sequencesOf(stepOf(scheduler)) as [[number]];
      order.push(sequence);
      scheduler.finish(sequence);
      scheduler.add(request(next, 9, 1, { family: 5 }));
    };
    scheduler.add(request(0, 9, 1, { family: 5 }));
    serve(2);
    scheduler.add(request(1, 9, 1, { family: 6 }));
    for (let next = 3; next < 80; next++) serve(next);
    expect(order.slice(0, 4)).to.deep.equal([0, 2, 3, 4]);
    expect(order.indexOf(1), 'who has nothing in the cache').to.equal(66);
  });
});
