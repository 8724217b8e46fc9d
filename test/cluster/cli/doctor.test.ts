/** The command line as a user meets it: what there is, and what this machine has. */
import { expect } from 'chai';
import { doctor } from '../../../lib/commands/doctor.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { Processes, type Ended } from '../../kit/processes/processes.js';
import { commandLine, inPairs, expectSuccess, json } from '../../kit/processes/command_line.js';

const processes = new Processes();
const expertwire = commandLine(processes);

describe('expertwire doctor and --help', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('doctor --json tells backends and which one is taken', async () => {
    const report = json(expectSuccess(await expertwire(['doctor', '--json'])));
    expect(report).to.include({ node: process.version, expertwire: '0.1.0' });
    const backends = report.backends as { name: string; available: boolean; detail: string }[];
    expect(backends.map(({ name }) => name)).to.deep.equal(['tensorflow', 'webgpu', 'wasm', 'cpu']);
    expect(backends.find(({ name }) => name === 'wasm')!.available).to.equal(true);
    expect(backends.map(({ name }) => name)).to.include(report.auto);
    for (const { detail } of backends) expect(detail).not.to.equal('');
    const tensorflow = backends.find(({ name }) => name === 'tensorflow')!;
    expect(report.native).to.include({ unavailable: tensorflow.available ? null : tensorflow.detail });
    expect(report.cuda_devices).to.be.an('array');
    const kernels = report.kernels as { simd: number; fma: boolean; no_256: string | null; no_fma: string | null };
    expect(kernels.simd).to.equal(kernels.no_256 === null ? 256 : 128);
    expect(kernels.fma).to.equal(kernels.no_fma === null);
  });

  it('doctor says nothing of the kernels where it is interrupted while it tries them', async () => {
    const ended = new AbortController();
    ended.abort(new Error('interrupted'));
    const context = commandContext(ended.signal);
    const message = await doctor({}, context).then(
      () => 'it went on',
      (error: unknown) => (error as Error).message,
    );
    expect([message, context.printed()]).to.deep.equal(['interrupted', '']);
  });

  const HELP: readonly [readonly string[], ...string[]][] = [
    [[], 'generate', 'score', 'rank', 'doctor', 'bench', 'launch'],
    [
      ['generate'],
      '--model',
      '--ranks',
      '--prompt',
      '--prompt-ids',
      '--temperature',
      '--json',
      '--summary',
      '--set',
      '--listen',
    ],
    [['score'], '--model', '--ids', '--text', '--file', '--logits', '--json'],
    [['rank'], '--head', '--rank', '--nproc', '--advertise', '--secret-file', '--join-timeout'],
    [['doctor'], '--json'],
    [['launch'], '--nnodes', '--node-rank', '--nproc-per-node', '--head', 'Slurm'],
    [['bench'], 'codec', 'generate'],
  ];
  let ends: readonly Ended[];
  before(
    async () =>
      (ends = await inPairs(
        expertwire,
        HELP.map(([command]) => [...command, '--help']),
      )),
  );

  HELP.forEach(([command, ...words], i) => {
    it(`expertwire ${[...command, '--help'].join(' ')} exits with 0 and tells what there is`, () => {
      const stdout = expectSuccess(ends[i]!);
      for (const word of words) expect(stdout).to.include(word);
    });
  });
});
