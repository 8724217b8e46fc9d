/** Jobs whose ranks compute with TensorFlow's own library: as threads of one process, and beside a rank of another backend. */
import { expect } from 'chai';
import { moe7mCases, tinyGolden } from '../kit/model/goldens.js';
import { moe7m, tinyModel } from '../kit/paths.js';
import { freePort } from '../kit/processes/ports.js';
import { Processes } from '../kit/processes/processes.js';

const processes = new Processes();
const NAME = 'tiny-deepseek-v3';
const GOLDEN = tinyGolden(NAME);
const SECRET = { env: { EXPERTWIRE_JOB_SECRET: 'a secret of this test' } };
const GENERATE = ['generate', '--model', tinyModel(NAME), '--max-new-tokens', '24', '--ignore-eos', '--json'];
/** A request for each of three ranks. */
const ARGS = [...GENERATE, ...[0, 1, 2].flatMap(() => ['--prompt-ids', GOLDEN.prompt_token_ids.join(',')])];

/** The statistics, after the golden tokens. */
function statsOf(stdout: string): Record<string, unknown> {
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines).to.have.length(4);
  for (const { token_ids: tokens } of lines.slice(0, 3)) expect(tokens).to.deep.equal(GOLDEN.greedy_token_ids);
  return lines[3]!.stats as Record<string, unknown>;
}

describe('jobs on TensorFlow', function () {
  this.timeout(120_000);

  afterEach(processes.expectNone);

  it('run with ranks that are threads of one process', async () => {
    const args = ['--ranks', '3', '--backend', 'tensorflow', '--set', 'comm.transport=threads'];
    const { code, stdout, stderr } = await processes.cli([...ARGS, ...args]).ended;
    expect(code, stderr).to.equal(0);
    expect(statsOf(stdout).rank_backends).to.deep.equal(['tensorflow', 'tensorflow', 'tensorflow']);
  });

  for (const numRanks of [1, 2]) {
    it(`give moe-7m's golden tokens for all prompts, on ${numRanks} ranks`, async () => {
      const cases = moe7mCases();
      const prompts = cases.flatMap(({ prompt }) => ['--prompt', prompt]);
      const how = ['--ranks', String(numRanks), '--backend', 'tensorflow', '--max-new-tokens', '32', '--ignore-eos'];
      const run = processes.cli(['generate', '--model', moe7m(), ...prompts, ...how, '--json']);
      const { code, stdout, stderr } = await run.ended;
      expect(code, stderr).to.equal(0);
      const answers = stdout.trimEnd().split('\n').slice(0, cases.length);
      const tokens = answers.map((line) => (JSON.parse(line) as { token_ids: number[] }).token_ids);
      expect(tokens).to.deep.equal(cases.map(({ greedy_token_ids }) => greedy_token_ids));
    });
  }

  it('run beside ranks of other backends', async () => {
    const port = await freePort();
    const at = ['--listen', `127.0.0.1:${port}`, '--wait-ranks', '2', '--backend', 'wasm'];
    const head = processes.cli([...ARGS, ...at], SECRET);
    const join = ['rank', '--head', `127.0.0.1:${port}`, '--rank', '1', '--nproc', '2', '--backend', 'tensorflow'];
    expect((await processes.cli(join, SECRET).ended).code).to.equal(0);
    const { code, stdout, stderr } = await head.ended;
    expect(code, stderr).to.equal(0);
    expect(statsOf(stdout)).to.deep.include({
      rank_backends: ['wasm', 'tensorflow', 'tensorflow'],
      rank_computes: ['kernels', 'tensors', 'tensors'],
    });
  });
});
