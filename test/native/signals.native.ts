import { expect } from 'chai';
import { Processes } from '../kit/processes/processes.js';
import { moe7m } from '../kit/paths.js';

const processes = new Processes();
const SMALL = ['--hidden', '64', '--intermediate', '64', '--experts', '8', '--topk', '2', '--matmul', '64,64,64'];
const LISTENS = ['--import', 'data:text/javascript,process.on("SIGUSR2",()=>{})'];

describe('signals to a process that computes with TensorFlow', function () {
  this.timeout(120_000);

  afterEach(processes.expectNone);

  it('are handled without harm to what it computes', async () => {
    const bench = ['bench', 'compute', '--backend', 'tensorflow', '--model', moe7m()];
    const args = [...bench, ...SMALL, '--tokens', '1', '--repeats', '1', '--decode-tokens', '300', '--json'];
    const run = processes.cli(args, { nodeArgs: LISTENS });
    await run.warns('oneDNN'); // TensorFlow is loaded, and the handler long before it
    let numSent = 0;
    const sender = setInterval(() => {
      if (run.stdout === '') numSent++;
      run.signal('SIGUSR2');
    }, 1);
    const { stdout, signal } = await run.ended;
    clearInterval(sender);
    expect(signal, 'the signal that ended it').to.be.oneOf([null, 'SIGUSR2']); // at its end nobody listens any more
    expect(numSent).to.be.above(500);
    expect(JSON.parse(stdout)).to.have.property('tensors');
  });
});
