import { expect } from 'chai';
import { BenchError } from '../../../bench/base/errors.js';
import { LineProcess } from '../../../bench/peers/engines/line_process.js';
import { errorOf } from '../../kit/rejects.js';

const started = (code: string): ReturnType<typeof LineProcess.start> =>
  LineProcess.start('the peer', { command: process.execPath, args: ['-e', code] }, new AbortController().signal);

describe('a program that answers orders', function () {
  this.timeout(30_000);

  it('is asked until it is closed', async () => {
    const code = `console.log('{"ready":{"version":1}}'); process.stdin.on('data', () => console.log('{"ms":2}'))`;
    const { process: peer, facts } = await started(code);
    expect(facts).to.deep.equal({ version: 1 });
    expect(await peer.ask({})).to.deep.equal({ ms: 2 });
    await peer.close();
  });

  it('is ended, and named, where it begins with another line', async () => {
    const forever = 'console.error("sorry"); setInterval(() => undefined, 1000)';
    for (const [line, shown] of [
      ['ggml: no GPU', '"ggml: no GPU"'],
      ['17', '"17"'],
      ['{"ms":1}', '"another answer than that it is ready"'],
    ] as const) {
      const { message } = await errorOf(BenchError, () => started(`console.log('${line}'); ${forever}`));
      expect(message).to.match(new RegExp(`^NOT_UNDERSTOOD: the peer said ${shown}, which is no answer`));
    }
  });
});
