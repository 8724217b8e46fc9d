/** Real ranks on a machine with GPUs; the GPUs and TensorFlow's library are stand-ins, all between them and the command line is not. */
import { expect } from 'chai';
import { availableParallelism, hostname } from 'node:os';
import { withFakeGpus, type LoadedWith } from '../kit/native/fake_gpus.js';
import { tinyGolden } from '../kit/model/goldens.js';
import { moe7m, tinyModel } from '../kit/paths.js';
import { freePort } from '../kit/processes/ports.js';
import { Processes, withoutNews, type Ended } from '../kit/processes/processes.js';

const processes = new Processes();
const MODEL = tinyModel('tiny-qwen3-moe');
const GOLDEN = tinyGolden('tiny-qwen3-moe');
const GENERATE = ['generate', '--model', MODEL, '--prompt-ids', GOLDEN.prompt_token_ids.join(','), '--ignore-eos'];
const JSON_RUN = [...GENERATE, '--max-new-tokens', '24', '--json'];
/** Too little for all experts of moe-7m. */
const FREE_MIB = 15;
const SECRET = { EXPERTWIRE_JOB_SECRET: 'a secret of this test' };

interface Stats {
  readonly backend: string;
  readonly rank_backends: readonly string[];
  readonly rank_devices: readonly (string | null)[];
}

/** After the golden tokens. */
function statsOf({ code, stdout, stderr }: Ended): Stats {
  expect(code, stderr).to.equal(0);
  const [first, last] = stdout.trimEnd().split('\n');
  expect((JSON.parse(first!) as { token_ids: number[] }).token_ids).to.deep.equal(GOLDEN.greedy_token_ids);
  return (JSON.parse(last!) as { stats: Stats }).stats;
}

const threadsOf = (numRanks: number): string => String(Math.max(1, Math.floor(availableParallelism() / numRanks)));
const byDevice = (loaded: readonly LoadedWith[]): (string | undefined)[] =>
  loaded.map((each) => each.CUDA_VISIBLE_DEVICES).sort();

describe('ranks on a machine with GPUs', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  it('take one each, in turn, its memory as it is needed and their share of the cores', async () => {
    await withFakeGpus([4000, 4000], async ({ env, loaded }) => {
      const stats = statsOf(await processes.cli([...JSON_RUN, '--ranks', '3'], { env }).ended);
      expect(stats).to.deep.include({ backend: 'tensorflow', rank_devices: ['0', '1', '0'] });
      const found = await loaded();
      expect(byDevice(found)).to.deep.equal(['0', '0', '1']);
      for (const { TF_FORCE_GPU_ALLOW_GROWTH: growth, TF_NUM_INTRAOP_THREADS: threads } of found) {
        expect([growth, threads]).to.deep.equal(['true', threadsOf(3)]);
      }
    });
  });

  it('take them from the list of the user, and what else the user set', async () => {
    await withFakeGpus([4000, 4000, 4000], async ({ env, loaded }) => {
      const own = { CUDA_VISIBLE_DEVICES: '2,1', TF_FORCE_GPU_ALLOW_GROWTH: 'false', TF_NUM_INTRAOP_THREADS: '7' };
      const run = processes.cli([...JSON_RUN, '--ranks', '2'], { env: { ...env, ...own } });
      expect(statsOf(await run.ended).rank_devices).to.deep.equal(['2', '1']);
      expect(await loaded()).to.have.deep.members([
        { ...own, CUDA_VISIBLE_DEVICES: '2' },
        { ...own, CUDA_VISIBLE_DEVICES: '1' },
      ]);
    });
  });

  it('as threads share one', async () => {
    await withFakeGpus([4000, 4000], async ({ env, loaded }) => {
      const run = processes.cli([...JSON_RUN, '--ranks', '2', '--set', 'comm.transport=threads'], { env });
      expect(statsOf(await run.ended).rank_devices).to.deep.equal(['0', '0']);
      expect(byDevice(await loaded())).to.deep.equal(['0', '0']);
    });
  });

  it('of one job may be on machines without any', async () => {
    await withFakeGpus([4000], async ({ env }) => {
      const port = await freePort();
      const at = ['--listen', `127.0.0.1:${port}`, '--wait-ranks', '2'];
      const head = processes.cli([...JSON_RUN, ...at], { env: { ...env, ...SECRET } });
      const join = ['rank', '--head', `127.0.0.1:${port}`, '--nproc', '2', '--rank', '1', '--backend', 'wasm'];
      expect((await processes.cli(join, { env: SECRET }).ended).code).to.equal(0);
      expect(statsOf(await head.ended)).to.deep.include({
        backend: 'tensorflow + wasm',
        rank_backends: ['tensorflow', 'wasm', 'wasm'],
        rank_devices: ['0', null, null],
      });
    });
  });

  it('are refused a GPU that is too small before they load, and as many as the advice says are not', async () => {
    const small = ['max_num_seqs=8', 'max_num_batched_tokens=32', 'num_kv_blocks=64', 'block_size=4'];
    const keys = small.flatMap((key) => ['--set', `engine.${key}`]);
    const run = async (numRanks: number): Promise<Ended> => {
      let ended: Ended | undefined;
      await withFakeGpus(new Array<number>(numRanks).fill(FREE_MIB), async ({ env }) => {
        const model = ['--model', moe7m(), '--prompt', 'Call me', '--max-new-tokens', '1'];
        ended = await processes.cli(['generate', ...model, ...keys, '--ranks', `${numRanks}`], { env }).ended;
      });
      return ended!;
    };
    const alone = await run(1);
    expect([alone.code, withoutNews(alone.stderr).trimEnd().split('\n').length]).to.deep.equal([1, 1]);
    const gib = `which has ${(FREE_MIB / 1024).toFixed(2)} GiB free; spread the experts over`;
    expect(alone.stderr).to.contain(`OUT_OF_MEMORY: rank 0 on ${hostname()}: this rank would hold `).and.contain(gib);
    const advised = Number(/spread the experts over (\d+) ranks with a GPU each/.exec(alone.stderr)![1]);
    expect(advised).to.be.within(3, 8);
    const [enough, tooFew] = await Promise.all([run(advised), run(advised - 1)]);
    expect(enough.code, enough.stderr).to.equal(0);
    expect(tooFew.stderr).to.contain('OUT_OF_MEMORY');
  });

  it('that a launcher started take those of their places on it', async () => {
    await withFakeGpus([4000, 4000], async ({ env, loaded }) => {
      const port = await freePort();
      const task = (rank: number) => ({
        ...{ ...env, ...SECRET, OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_RANK: `${rank}` },
        ...{ OMPI_COMM_WORLD_LOCAL_RANK: `${rank}`, OMPI_COMM_WORLD_LOCAL_SIZE: '2' },
      });
      const at = ['launch', '--head', `127.0.0.1:${port}`];
      const head = processes.cli([...at, '--', ...JSON_RUN], { env: task(0) });
      const rank = await processes.cli(at, { env: task(1) }).ended;
      expect(rank.code, rank.stderr).to.equal(0);
      expect(statsOf(await head.ended).rank_devices).to.deep.equal(['0', '1']);
      for (const { TF_NUM_INTRAOP_THREADS } of await loaded()) expect(TF_NUM_INTRAOP_THREADS).to.equal(threadsOf(2));
    });
  });
});
