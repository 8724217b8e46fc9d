/** What plug-ins throw while nobody waits for it, between real processes. */
import { expect } from 'chai';
import { moe7m } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { lastLine, Processes, type Ended } from '../../kit/processes/processes.js';

const processes = new Processes();

/** How `generate` with two ranks ends. */
const ended = (text: string, set: readonly string[]): Promise<Ended> =>
  withPlugins({ 'a.mjs': text }, (path) => {
    const more = ['parallel.ranks=2', 'experts.gate=mine', ...set].flatMap((each) => ['--set', each]);
    const args = ['generate', '--model', moe7m(), '--plugin', path('a.mjs'), '--prompt', 'Call me'];
    return processes.cli([...args, '--max-new-tokens', '100', ...more]).ended;
  });

const gate = (route: string): string =>
  `export default (api) => api.registerGate('mine', { dependsOn: 'batch', route(batch, own) { if (batch.step === 2 && batch.rank === 0) { ${route} } return own(); } });`;

describe('what a plug-in throws while nobody waits for it', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('in the head ends the command with one line that names it', async () => {
    const text = `export default (api) => {
      api.registerGate('mine', { route: (batch, own) => own() });
      setTimeout(() => api.registerGate('other', { route: (batch, own) => own() }), 5);
    };`;
    const { code, stderr } = await ended(text, []);
    expect(code).to.equal(1);
    expect(stderr).to.match(
      /^expertwire: INVALID_PLUGIN: plug-in \S+a\.mjs, gate "other": came after its function had ended; .*$/m,
    );
    expect(stderr).not.to.match(/^ +at /m);
  });

  for (const [what, route] of [
    ['a timer', `setTimeout(() => { throw new Error('trouble'); }, 1);`],
    ['a promise', `Promise.reject(new Error('trouble'));`],
  ] as const) {
    for (const set of [[], ['comm.on_peer_loss=mask'], ['comm.transport=threads']]) {
      it(`on a rank, in ${what}, ends the job with the rank and the plug-in: ${set.join() || 'processes'}`, async () => {
        const { code, stderr } = await ended(gate(route), set);
        expect(code, stderr).to.equal(1);
        expect(lastLine(stderr)).to.match(
          /^expertwire: RANK_FAILED: rank 0 failed in step \d+: PLUGIN_FAILED: plug-in \S+a\.mjs: threw while nobody waited for it .*: trouble; catch it there$/,
        );
      });
    }
  }
});
