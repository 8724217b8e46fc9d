/** Ranks on webgpu as processes: the same text as on wasm, and a clean end. */
import { expect } from 'chai';
import { listAdapters } from '../../compute/tfjs/tf.js';
import { moe7mCases, tinyGolden } from '../kit/model/goldens.js';
import { moe7m, tinyModel } from '../kit/paths.js';
import { freePort } from '../kit/processes/ports.js';
import { Processes, type Running } from '../kit/processes/processes.js';
import { useWebgpu } from './use_webgpu.js';

await useWebgpu();
const [adapter] = await listAdapters();

const [MELVILLE] = moe7mCases();
const NUM_TOKENS = 8;

const processes = new Processes();
/** Where Dawn finds a driver that isn't installed for all. */
const DRIVER = Object.fromEntries(
  ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'LD_LIBRARY_PATH'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  }),
);

const generate = (...args: readonly string[]): Running =>
  processes.cli(['generate', '--model', moe7m(), '--backend', 'webgpu', ...args], {
    env: DRIVER,
  });

const PROMPT = ['--prompt', MELVILLE!.prompt, '--set', `generate.max_new_tokens=${NUM_TOKENS}`];

describe('ranks on webgpu', function () {
  this.timeout(120_000);

  afterEach(processes.expectNone);

  for (const [name, ...args] of [
    ['one process', '--ranks', '1'],
    ['two processes', '--ranks', '2'],
    ['two threads', '--ranks', '2', '--set', 'comm.transport=threads'],
    ['the GPU by name', '--ranks', '1', '--set', `webgpu.adapter=${adapter!.name.toLowerCase()}`],
  ] as const) {
    it(`generate the golden tokens, and end without a word: ${name}`, async () => {
      const { code, stdout, stderr } = await generate(...PROMPT, ...args, '--json').ended;
      expect(code, stderr).to.equal(0);
      const [answer, last] = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Answer);
      expect(answer!.token_ids).to.deep.equal(MELVILLE!.greedy_token_ids.slice(0, NUM_TOKENS));
      expect(last!.stats!.backend).to.contain('webgpu');
      expect(stderr).not.to.match(/segmentation|terminate|signal|error|warn/i);
    });
  }

  it('decode the golden tokens beside a rank of another backend', async () => {
    const golden = tinyGolden('tiny-deepseek-v3');
    const port = await freePort();
    const env = { ...DRIVER, EXPERTWIRE_JOB_SECRET: 'a secret of this test' };
    const rank = processes.cli(['rank', '--head', `127.0.0.1:${port}`, '--rank', '1', '--backend', 'webgpu'], { env });
    const args = ['--model', tinyModel('tiny-deepseek-v3'), '--prompt-ids', golden.prompt_token_ids.join()];
    const where = ['--backend', 'wasm', '--ranks', '1', '--listen', `127.0.0.1:${port}`, '--wait-ranks', '1'];
    const count = ['--set', `generate.max_new_tokens=${golden.greedy_token_ids.length}`];
    const { code, stdout, stderr } = await processes.cli(['generate', ...args, ...where, ...count, '--json'], { env })
      .ended;
    expect(code, stderr).to.equal(0);
    expect((JSON.parse(stdout.split('\n')[0]!) as Answer).token_ids).to.deep.equal(golden.greedy_token_ids);
    expect(await rank.ended).to.include({ code: 0, stdout: '' });
  });

  it('of a GPU that there is not say which there are', async () => {
    const { code, stderr } = await generate(...PROMPT, '--set', 'webgpu.adapter=Voodoo 2').ended;
    expect(code).to.equal(1);
    expect(stderr).to.match(/BACKEND_UNAVAILABLE.*'Voodoo 2' \(webgpu\.adapter\); there are '/);
  });

  for (const transport of ['ws', 'threads'] as const) {
    it(`are gone after Ctrl-C in the middle of a step, exit code 130, no word of a crash (transport ${transport})`, async () => {
      const set = [`comm.transport=${transport}`, 'generate.max_new_tokens=200', 'generate.ignore_eos=true'];
      const run = generate('--prompt', MELVILLE!.prompt, '--ranks', '2', ...set.flatMap((each) => ['--set', each]));
      await run.prints(/\S+\s+\S+/);
      run.signalGroup('SIGINT');
      const { code, stderr } = await run.ended;
      expect(code).to.equal(130);
      expect(stderr).not.to.match(/segmentation|terminate|core dumped|expertwire:/i);
      await processes.allGone();
    });
  }
});

interface Answer {
  readonly token_ids?: readonly number[];
  readonly stats?: { readonly backend: string };
}
