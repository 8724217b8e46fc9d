import { expect } from 'chai';
import { closing } from '../../../../lib/commands/base/closing.js';
import { errorOf } from '../../../kit/rejects.js';

describe('closing', () => {
  const first = new Error('a rank was lost');
  const second = new Error('the disk is full');
  const fails = (error: Error) => (): Promise<never> => Promise.reject(error);

  it('gives what the work gave, after it closed', async () => {
    const order: string[] = [];
    const noting = (what: string) => (): Promise<void> => {
      order.push(what);
      return Promise.resolve();
    };
    const work = noting('work');
    expect(await closing(noting('close'), () => work().then(() => 7))).to.equal(7);
    expect(order).to.deep.equal(['work', 'close']);
  });

  it('closes after an error, which wins over one of closing', async () => {
    let numCloses = 0;
    const close = (error: Error | null) => (): Promise<void> => {
      numCloses++;
      return error === null ? Promise.resolve() : Promise.reject(error);
    };
    expect(await errorOf(Error, () => closing(close(null), fails(first)))).to.equal(first);
    expect(await errorOf(Error, () => closing(close(second), fails(first)))).to.equal(first);
    expect(await errorOf(Error, () => closing(close(second), () => Promise.resolve()))).to.equal(second);
    expect(numCloses).to.equal(3);
  });
});
