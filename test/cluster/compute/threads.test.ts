/** Threads within a rank: the same bits for any number of them, and a rank that obeys while they compute. */
import { expect } from 'chai';
import { tinyGolden } from '../../kit/model/goldens.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { commandLine, ids, json } from '../../kit/processes/command_line.js';
import { Processes } from '../../kit/processes/processes.js';

const processes = new Processes();
const expertwire = commandLine(processes);

describe('threads of ranks', function () {
  this.timeout(180_000);

  afterEach(processes.expectNone);

  for (const name of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) {
    it(`give the golden tokens with the same bits, 1 to 4 of them, on 1 and 2 ranks: ${name}`, async () => {
      const golden = tinyGolden(name);
      const outputs: string[] = [];
      for (const [threads, ranks] of [
        [1, 1],
        [2, 1],
        [3, 2],
        [4, 1],
      ] as const) {
        const { code, stdout, stderr } = await expertwire([
          ...['generate', '--model', tinyModel(name), '--prompt-ids', ids(golden.prompt_token_ids)],
          ...['--max-new-tokens', '24', '--logprobs', '1', '--json', '--ranks', `${ranks}`],
          ...['--set', 'comm.reduce=source', '--set', `parallel.threads=${threads}`],
        ]);
        expect(code, stderr).to.equal(0);
        const [output, last] = stdout.trimEnd().split('\n').map(json);
        expect(output!.token_ids).to.deep.equal(golden.greedy_token_ids);
        outputs.push(JSON.stringify(output!.logprobs));
        const { rank_kernels: kernels } = last!.stats as { rank_kernels: { num_threads: number }[] };
        expect(kernels.map(({ num_threads: own }) => own)).to.deep.equal(Array<number>(ranks).fill(threads));
      }
      expect(new Set(outputs).size).to.equal(1);
    });
  }

  it('a number that nobody can mean is refused', async () => {
    const { code, stderr } = await expertwire([
      ...['generate', '--model', moe7m(), '--prompt', 'x', '--set', 'parallel.threads=0'],
    ]);
    expect(code).to.equal(2);
    expect(stderr).to.contain('parallel.threads').and.contain('auto or an integer from 1 to 64');
  });
});
