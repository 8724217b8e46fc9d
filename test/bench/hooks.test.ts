import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import { runBench } from '../../bench/index.js';
import type { HooksRow } from '../../bench/hooks.js';
import { tinyModel } from '../kit/paths.js';
import { Processes } from '../kit/processes/processes.js';

const processes = new Processes();
const TINY = [
  '--model',
  tinyModel('tiny-mixtral'),
  '--ranks',
  '2',
  '--prompt-tokens',
  '5',
  '--new-tokens',
  '4',
  '--repeats',
  '1',
];

/** What the command writes to stdout. */
async function output(...args: readonly string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' });
  const { signal } = new AbortController();
  await runBench(['hooks', ...args], { stdout, stderr: stdout, stdin: process.stdin, signal, env: {} });
  return stdout.read() as string;
}

describe('expertwire bench hooks', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('a run without hooks costs as much after all the others as before: no call, copy or byte more, and nothing is told', async () => {
    const { rows } = JSON.parse(await output(...TINY, '--json')) as { rows: readonly HooksRow[] };
    const [off, again] = ['off', 'off again'].map((name) => rows.find(({ hooks }) => hooks === name)!) as [
      HooksRow,
      HooksRow,
    ];
    for (const key of ['kernel_calls', 'copies', 'copied_bytes', 'exchanged_bytes', 'told_bytes', 'events'] as const) {
      expect(again[key], key).to.equal(off[key]);
    }
    expect(off).to.include({ told_bytes: 0, events: 0 });
    const told = rows.filter(({ hooks }) => !hooks.startsWith('off'));
    expect(told).to.have.length(9);
    for (const row of told.slice(0, -1)) expect(row.told_bytes, row.hooks).to.be.above(0); // of a share there may be none
  });
});
