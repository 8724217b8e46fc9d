import { expect } from 'chai';
import { ByteQueue } from '../../../../../lib/cluster/router/upstream/byte_queue.js';
import { errorOf } from '../../../../kit/rejects.js';

const queueOf = (maxUnreadBytes: number): { readonly queue: ByteQueue; readonly flow: string[] } => {
  const flow: string[] = [];
  const queue = new ByteQueue({ pause: () => flow.push('pause'), resume: () => flow.push('resume') }, maxUnreadBytes);
  return { queue, flow };
};

describe('bytes that came', () => {
  it('are read in order, in one piece where several came', async () => {
    const { queue } = queueOf(100);
    const first = queue.read();
    queue.push(Buffer.from('a'));
    queue.push(Buffer.from('b'));
    queue.push(Buffer.from('c'));
    queue.finish(null);
    expect([String(await first), String(await queue.read()), await queue.read(), await queue.read()]).to.deep.equal([
      'a',
      'bc',
      null,
      null,
    ]);
  });

  it('hold up their sender where they aren’t read', async () => {
    const { queue, flow } = queueOf(3);
    queue.push(Buffer.from('ab'));
    expect(flow).to.deep.equal([]);
    queue.push(Buffer.from('cd'));
    queue.push(Buffer.from('e'));
    expect(flow).to.deep.equal(['pause']);
    expect(String(await queue.read())).to.equal('abcde');
    expect(flow).to.deep.equal(['pause', 'resume']);
  });

  it('are read before the error behind them', async () => {
    const { queue } = queueOf(100);
    const error = new Error('broken');
    queue.push(Buffer.from('a'));
    queue.finish(error);
    queue.finish(null);
    expect(String(await queue.read())).to.equal('a');
    expect(await errorOf(Error, () => queue.read())).to.equal(error);
    expect(await errorOf(Error, () => queue.read())).to.equal(error);
  });

  it('fail who waits for them', async () => {
    const { queue } = queueOf(100);
    const error = new Error('broken');
    const reading = errorOf(Error, () => queue.read());
    queue.finish(error);
    expect(await reading).to.equal(error);
  });
});
