import { expect } from 'chai';
import { EventQueue } from '../../../lib/head/event_queue.js';
import { errorOf } from '../../kit/rejects.js';

async function drain<T>(queue: EventQueue<T>): Promise<T[]> {
  const events: T[] = [];
  for await (const event of queue) events.push(event);
  return events;
}

describe('event queue', () => {
  it('gives events in order, those before and those after the caller began to wait', async () => {
    const queue = new EventQueue<number>();
    queue.push(1);
    queue.push(2);
    const drained = drain(queue);
    queue.push(3);
    await Promise.resolve();
    queue.push(4);
    queue.close();
    expect(await drained).to.deep.equal([1, 2, 3, 4]);
  });

  it('a waiting caller gets the event that is pushed next', async () => {
    const queue = new EventQueue<string>();
    const waiting = queue.next();
    queue.push('a');
    expect(await waiting).to.deep.equal({ done: false, value: 'a' });
  });

  it('a waiting caller sees the end, or the error', async () => {
    const closed = new EventQueue<number>();
    const waiting = closed.next();
    closed.close();
    expect(await waiting).to.deep.equal({ done: true, value: undefined });
    const failed = new EventQueue<number>();
    const rejected = failed.next();
    failed.close(new RangeError('lost'));
    expect((await errorOf(RangeError, () => rejected)).message).to.equal('lost');
  });

  it('what was pushed comes before the end or the error, which every later call sees', async () => {
    const closed = new EventQueue<number>();
    closed.push(1);
    closed.close();
    expect((await closed.next()).value).to.equal(1);
    for (let i = 0; i < 2; i++) expect((await closed.next()).done).to.equal(true);
    const failed = new EventQueue<number>();
    failed.push(1);
    failed.close(new RangeError('lost'));
    expect((await failed.next()).value).to.equal(1);
    for (let i = 0; i < 2; i++) await errorOf(RangeError, () => failed.next());
  });

  it('nothing comes after the end, and the first end counts', async () => {
    const queue = new EventQueue<number>();
    queue.close();
    queue.close(new Error('too late'));
    queue.push(1);
    expect(await drain(queue)).to.deep.equal([]);
  });
});
