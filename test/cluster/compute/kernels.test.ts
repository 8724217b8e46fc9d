/** How the kernels of a job compute: as wide as the machine can, fused on all ranks or on none, and what becomes of a trial that fails. */
import { expect } from 'chai';
import { mayBeWide } from '../../../lib/kernels/newer_node.js';
import { kernelsFor } from '../../../lib/rank/rank_place.js';
import { hookedTrial } from '../../kit/kernels/trial_hook.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { tinyModel } from '../../kit/paths.js';
import { commandLine, expectFailure, ids, json } from '../../kit/processes/command_line.js';
import { freePort } from '../../kit/processes/ports.js';
import { lastLine, Processes, type Ended } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();
const expertwire = commandLine(processes);
const NAME = 'tiny-deepseek-v3';
const GOLDEN = tinyGolden(NAME);
const EXACT = ['--set', 'comm.reduce=source'];
const ARGS = [
  ...['generate', '--model', tinyModel(NAME), '--prompt-ids', ids(GOLDEN.prompt_token_ids)],
  ...['--max-new-tokens', '24', '--logprobs', '1', '--json', ...EXACT],
];
const SECRET = { EXPERTWIRE_JOB_SECRET: 'a secret of this test' };

interface Kernels {
  readonly simd: 128 | 256;
  readonly fma: boolean;
}

/** What came out, and how the kernels computed it. */
function outcomeOf({ code, stdout, stderr }: Ended): { output: Record<string, unknown>; kernels: readonly Kernels[] } {
  expect(code, stderr).to.equal(0);
  const [output, last] = stdout.trimEnd().split('\n').map(json);
  const { rank_kernels: kernels } = last!.stats as { rank_kernels: Kernels[] };
  return { output: output!, kernels: kernels.map(({ simd, fma }) => ({ simd, fma })) };
}

const run = async (...more: string[]) => outcomeOf(await expertwire([...ARGS, ...more]));

describe('kernels of a job', function () {
  this.timeout(120_000);

  afterEach(processes.expectNone);

  it('give the same bits at 128 and 256 bits on any number of ranks, and the golden tokens fused and not', async () => {
    const { lacks256, lacksFma } = await kernelsFor('wasm');
    const widths = lacks256 === null ? [128, 256] : [128];
    for (const fma of lacksFma === null ? [true, false] : [false]) {
      const outputs: string[] = [];
      for (const simd of widths) {
        for (const ranks of [1, 2]) {
          const set = [`kernels.simd=${simd}`, `kernels.fma=${fma ? 'on' : 'off'}`].flatMap((key) => ['--set', key]);
          const { output, kernels } = await run('--ranks', `${ranks}`, ...set);
          expect(kernels).to.deep.equal(Array.from({ length: ranks }, () => ({ simd, fma })));
          expect(output.token_ids).to.deep.equal(GOLDEN.greedy_token_ids);
          outputs.push(JSON.stringify(output.logprobs));
        }
      }
      expect(new Set(outputs).size).to.equal(1);
    }
  });

  it('are as wide and fused as this machine can by default, in processes and in threads', async () => {
    const { lacks256, lacksFma } = await kernelsFor('wasm');
    const best = { simd: lacks256 === null ? 256 : 128, fma: lacksFma === null };
    for (const transport of ['ws', 'threads']) {
      const { kernels } = await run('--ranks', '2', '--set', `comm.transport=${transport}`);
      expect(kernels).to.deep.equal([best, best]);
    }
  });

  it('compute with 128 bits where the trial of 256 crashes, and the user is told in a line', () =>
    withTempFolder(async (home) => {
      const ended = await expertwire(ARGS, { env: hookedTrial('crash', home) });
      const { output, kernels } = outcomeOf(ended);
      expect(kernels[0]!.simd).to.equal(128);
      expect(output.token_ids).to.deep.equal(GOLDEN.greedy_token_ids);
      const told = ended.stderr.split('\n').filter((line) => /kernels (compute|don't)/.test(line)); // a busy machine also tells that it tries them
      expect(told).to.have.length(1);
      // An older Node is blamed itself for 128 bits; what else the trial would have shown is missing all the same.
      const isNew = mayBeWide(process.version);
      const line = isNew ? 'kernels compute with 128-bit SIMD: at 256 bits,' : "kernels don't fuse products and sums:";
      expect(told[0]).to.include(`${line} its trial ended with SIG`);
      const demanded = await expertwire([...ARGS, '--set', 'kernels.simd=256'], { env: hookedTrial('crash', home) });
      expectFailure(
        demanded,
        1,
        isNew
          ? /KERNELS_UNAVAILABLE: rank 0 on \S+: kernels\.simd is 256, but its trial ended with SIG/
          : /KERNELS_UNAVAILABLE: rank 0 on \S+: kernels\.simd is 256, but Node \S+ has no 256-bit SIMD/,
      );
    }));

  it('of no rank fuse where one from elsewhere cannot, and where that is demanded, the rank is named', async function () {
    if ((await kernelsFor('wasm')).lacksFma !== null) this.skip();
    await withTempFolder(async (home) => {
      const port = await freePort();
      const head = [...ARGS, '--ranks', '1', '--wait-ranks', '1', '--listen', `127.0.0.1:${port}`];
      const elsewhere = ['rank', '--head', `127.0.0.1:${port}`];
      const env = { ...SECRET, ...hookedTrial('rounds_twice', home) };
      const job = async (...more: string[]): Promise<Ended[]> =>
        Promise.all([expertwire([...head, ...more], { env: SECRET }), expertwire(elsewhere, { env })]);
      const [ended, rank] = await job();
      const { output, kernels } = outcomeOf(ended!);
      expect(kernels.map(({ fma }) => fma)).to.deep.equal([false, false]);
      expect(output.token_ids).to.deep.equal(GOLDEN.greedy_token_ids);
      expect(rank!.code, rank!.stderr).to.equal(0);
      const [refused, other] = await job('--set', 'kernels.fma=on');
      const why =
        /KERNELS_UNAVAILABLE: (rank 1 on \S+: )?kernels\.fma is on, but this processor rounds products and sums apart/;
      expectFailure(refused!, 1, why);
      expect(other!.code).to.equal(1);
      expect(lastLine(other!.stderr)).to.match(why);
    });
  });
});
