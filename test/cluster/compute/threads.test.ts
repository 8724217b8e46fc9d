/** Threads within a rank: the same bits for any number of them, and a rank that obeys while they compute. */
import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeRandomCheckpoint } from '../../../lib/model/random_checkpoint.js';
import { randomConfig } from '../../../lib/model/random_config.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { commandLine, ids, json } from '../../kit/processes/command_line.js';
import { Processes } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Its first layer is one call of 6 · 10¹⁰ multiply-adds for a prompt. */
const NUM_PROMPT = 2500;
const SHAPE = { layers: 2, denseLayers: 1, hidden: 512, experts: 2, topk: 1, intermediate: 32, heads: 1, vocab: 64 };
const WIDE = { ...randomConfig('qwen3_moe', { ...SHAPE, dtype: 'BF16' }), intermediate_size: 16384 };

/** Of a process, all its threads together. */
async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

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

  it('leave the rank its event loop while they compute one call of seconds: it hears at once that its head is gone', async () => {
    await withTempFolder(async (dir) => {
      const model = join(dir, 'model');
      await makeRandomCheckpoint(model, { config: WIDE, dtype: 'BF16', seed: 1 });
      const settings = ['parallel.threads=2', 'engine.max_num_batched_tokens=4096'];
      const head = processes.cli([
        ...['serve', '--model', model, '--port', '0'],
        ...settings.flatMap((setting) => ['--set', setting]),
      ]);
      await head.prints(/^curl .*\n/m);
      const { pid } = processes.rank(0);
      const url = /^serving "\S+" at (\S+)\n/.exec(head.stdout)![1]!;
      const ask = (first: number): Promise<string> =>
        fetch(`${url}/v1/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            prompt: Array.from({ length: NUM_PROMPT }, (_, i) => (i + first) % 64),
            max_tokens: 1,
          }),
        }).then(({ status }) => `status ${status}`, String);
      const [idle, beganMs] = [await cpuSeconds(pid), performance.now()];
      expect(await ask(0)).to.equal('status 200');
      const [whole, wholeMs] = [(await cpuSeconds(pid)) - idle, performance.now() - beganMs];
      const before = await cpuSeconds(pid);
      const answer = ask(1);
      while ((await cpuSeconds(pid)) < before + whole / 4)
        expect(await Promise.race([answer, delay(20, 'it computes')])).to.equal('it computes');
      const killedMs = head.signal('SIGKILL');
      expect((await processes.allGone()) - killedMs, 'milliseconds').to.be.below(wholeMs / 2);
      await answer;
    });
  });

  it('a number that nobody can mean is refused', async () => {
    const { code, stderr } = await expertwire([
      ...['generate', '--model', moe7m(), '--prompt', 'x', '--set', 'parallel.threads=0'],
    ]);
    expect(code).to.equal(2);
    expect(stderr).to.contain('parallel.threads').and.contain('auto or an integer from 1 to 64');
  });
});
