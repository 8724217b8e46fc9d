import { expect } from 'chai';
import { blockingOf } from '../../../../lib/jobs/decisions/blocking.js';
import { job, runOf } from '../../../kit/jobs/jobs.js';

const ids = (endings: readonly { readonly run: { readonly id: string } }[]): string[] =>
  endings.map(({ run }) => run.id);

describe('blocking', () => {
  const of = job();
  const running = runOf(of, 'running', 0, { state: 'running' });
  const second = runOf(of, 'second', 2);
  const third = runOf(of, 'third', 3);

  it('serial: the one that was due first begins when nobody runs, and the others wait', () => {
    const { begins, discards, stops } = blockingOf([third, second], { blocking: 'serial', maxQueued: 16 });
    expect(begins).to.equal(second);
    expect([discards, stops]).to.deep.equal([[], []]);
    expect(blockingOf([third, second, running], { blocking: 'serial', maxQueued: 16 }).begins).to.equal(null);
  });

  it('serial: more than may wait are dropped, the latest first, and told why', () => {
    const { begins, discards } = blockingOf([third, second, running], { blocking: 'serial', maxQueued: 1 });
    expect(begins).to.equal(null);
    expect(ids(discards)).to.deep.equal(['third']);
    expect(discards[0]!.error).to.include({ code: 'TOO_MANY' });
    expect(blockingOf([third, second], { blocking: 'serial', maxQueued: 1 }).discards).to.deep.equal([]);
  });

  it('discard: whatever is due while one runs or begins is dropped, and says which one ran', () => {
    const busy = blockingOf([running, second, third], { blocking: 'discard', maxQueued: 16 });
    expect([busy.begins, ids(busy.discards)]).to.deep.equal([null, ['second', 'third']]);
    expect(busy.discards[0]!.error.message).to.equal('running ran when it was due');
    const idle = blockingOf([second, third], { blocking: 'discard', maxQueued: 16 });
    expect([idle.begins?.id, ids(idle.discards)]).to.deep.equal(['second', ['third']]);
  });

  it('cover: the latest one stops who runs, begins when he has ended, and the others are dropped', () => {
    const busy = blockingOf([running, second, third], { blocking: 'cover', maxQueued: 16 });
    expect([busy.begins, ids(busy.discards), ids(busy.stops)]).to.deep.equal([null, ['second'], ['running']]);
    const stopping = blockingOf([{ ...running, isStopping: true }, third], { blocking: 'cover', maxQueued: 16 });
    expect([stopping.begins, ids(stopping.stops)]).to.deep.equal([null, []]);
    expect(blockingOf([third], { blocking: 'cover', maxQueued: 16 }).begins).to.equal(third);
  });

  it('nothing that has ended holds up anything', () => {
    const ended = runOf(of, 'ended', 0, { state: 'failed' });
    for (const blocking of ['serial', 'discard', 'cover'] as const) {
      expect(blockingOf([ended, second], { blocking, maxQueued: 16 }).begins).to.equal(second);
    }
  });
});
