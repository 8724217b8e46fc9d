import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { KernelTrial } from '../../../lib/kernels/kernel_trial.js';
import { tryKernels } from '../../../lib/kernels/run_trial.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Named otherwise while it was an experiment. */
const PERMISSION = [Number.parseInt(process.versions.node, 10) < 23 ? '--experimental-permission' : '--permission'];

/** With the argument `full`, all files that the process may have are open when the trial begins. */
const PRELUDE = `
  import { openSync } from 'node:fs';
  import { tryKernels } from '${new URL('../../../lib/kernels/run_trial.js', import.meta.url).href}';
  if (process.argv[2] === 'full') {
    try {
      for (;;) openSync('/dev/null');
    } catch {}
  }
`;

/** What a trial tells of a machine that can everything, up to the moment at which `width` runs. */
const TRIAL = `
  const tell = (told) => process.send(told);
  const digest = (way, digest, bits = 256) => tell({ kind: 'digest', way, bits, digest });
  if (process.argv[2] === 'bits') {
    digest('plain', 'p', 128);
    tell({ kind: 'fuses', isFused: true });
    digest('fused', 'f', 128);
  } else {
    digest('fused', 'f', 128);
    for (const [bits, us] of [[128, 2], [256, 1]])
      for (const way of ['plain', 'fused']) tell({ kind: 'tile', way, bits, rows: 4, us });
    WIDTH
  }
`;

/** The outcome where the process at 256 bits goes on so. */
const outcomeOf = async (width: string, timeoutMs = 60_000): Promise<KernelTrial> =>
  withTempFolder(async (dir) => {
    const file = join(dir, 'trial.cjs');
    await writeFile(file, TRIAL.replace('WIDTH', width));
    return tryKernels({ file, timeoutMs, version: 'v26.1.0' });
  });

describe('trials of the kernels, each in a process of its own', function () {
  this.timeout(120_000);

  it('that go well are believed', async () => {
    const { lacks256, lacksFma, gain } = await outcomeOf("digest('plain', 'p'); digest('fused', 'f');");
    expect({ lacks256, lacksFma, gain }).to.deep.equal({ lacks256: null, lacksFma: null, gain: 2 });
  });

  const odd: readonly [what: string, width: string, why: string][] = [
    ['end with an error', "throw new Error('odd');", 'its trial ended with exit code 1 (Error: odd)'],
    ['crash', 'process.abort();', 'its trial ended with SIGABRT'],
    ['are killed', "process.kill(process.pid, 'SIGKILL');", 'its trial ended with SIGKILL'],
    ['compute other bits', "digest('plain', 'q'); digest('fused', 'f');", 'it computed other bits than 128-bit SIMD'],
  ];
  for (const [what, width, why] of odd) {
    it(`that ${what} leave 128 bits, and fusing`, async () => {
      const { lacks256, lacksFma } = await outcomeOf(width);
      expect(lacks256).to.deep.equal({ kind: 'failed', why });
      expect(lacksFma).to.equal(null);
    });
  }

  it('that hang are ended', async () => {
    const { lacks256 } = await outcomeOf('for (;;);', 2000);
    expect(lacks256).to.deep.equal({ kind: 'failed', why: 'its trial did not end in 2000 ms' });
  });

  it('that cannot be started are failures too', async () => {
    const { lacks256, lacksFma } = await tryKernels({ file: '/nowhere/trial.js', version: 'v26.1.0' });
    expect([lacks256!.kind, lacksFma!.kind]).to.deep.equal(['failed', 'failed']);
  });

  const script = 'console.log(JSON.stringify(await tryKernels()))';
  const barred: readonly [
    what: string,
    command: (file: string) => readonly [string, readonly string[]],
    why: RegExp,
  ][] = [
    [
      'that Node forbids',
      (file) => [process.execPath, [...PERMISSION, '--allow-fs-read=*', '--no-warnings', file]],
      /^its trial did not start: .*(restricted|permission)/i,
    ],
    [
      'for which no file can be opened',
      (file) => ['sh', ['-c', 'ulimit -n 64 && exec "$0" "$1" full', process.execPath, file]],
      /^its trial did not start: .*EMFILE/,
    ],
  ];
  for (const [what, command, why] of barred) {
    it(`${what} are failures that end nothing`, () =>
      withTempFolder(async (dir) => {
        const file = join(dir, 'try.mjs');
        await writeFile(file, `${PRELUDE}\n${script}`);
        const { stdout } = await promisify(execFile)(...command(file));
        const { lacks256, lacksFma } = JSON.parse(stdout) as KernelTrial;
        expect(lacksFma!.kind).to.equal('failed');
        expect(lacksFma!.why).to.match(why);
        expect(lacks256).to.not.equal(null);
      }));
  }

  it('show of this machine what its Node can', async () => {
    const { lacks256, lacksFma, tileRows } = await tryKernels();
    expect(lacks256?.kind).to.not.equal('failed');
    expect(lacksFma?.kind).to.not.equal('failed');
    for (const rows of Object.values(tileRows)) expect([2, 4, 6]).to.include(rows);
    expect(Object.keys(tileRows)).to.have.length(4);
  });
});
