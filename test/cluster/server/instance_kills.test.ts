/** Requests to a cluster of real processes, whose instances are killed one after the other and started anew: each has the answer of one instance, or is refused before its first token. */
import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { uniform } from '../../../base/philox.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { ask, type Answer } from '../../kit/cluster/whole/client.js';
import { WholeCluster } from '../../kit/cluster/whole/whole_cluster.js';
import { kill, Processes, until } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** `npm run soak` sets 500; other kills come of another seed. */
const NUM_REQUESTS = Number(process.env.SOAK_REQUESTS ?? 40);
const SEED = Number(process.env.SOAK_FROM ?? 1);
const NUM_CLIENTS = 6;
const NUM_INSTANCES = 3;
/** Between two kills. */
const [SHORTEST_MS, LONGEST_MS] = [300, 1500];

const processes = new Processes();

const BODIES = [
  { prompt: 'Once upon a time there was a clockmaker who', temperature: 0, stream: true },
  { prompt: 'Call me Ishmael. Some years ago', temperature: 1, seed: 7, stream: true },
  { prompt: 'It was a bright cold day in April', temperature: 1, seed: 3 },
  { prompt: 'Once upon a time there was a king who', temperature: 0 },
].map((body) => ({ ...body, max_tokens: 64, ignore_eos: true }));

interface Listed {
  readonly id: string;
  readonly is_healthy: boolean;
  readonly requests: number;
  readonly active_blocks: number;
}

const listed = async (url: string): Promise<readonly Listed[]> => {
  const answer = await fetch(`${url}/instances`);
  return ((await answer.json()) as { readonly instances: readonly Listed[] }).instances;
};

/** The process of an instance itself. */
const pidOf = (name: string): number | undefined =>
  processes.running().find(({ argv }) => argv[argv.indexOf('--instance') + 1] === name)?.pid;

/** Kills one of those that serve, while another one does, until it is told to stop. How many. */
async function killSome(url: string, signal: AbortSignal): Promise<number> {
  for (let n = 0; ; n++) {
    await delay(SHORTEST_MS + uniform(SEED, 0, n) * (LONGEST_MS - SHORTEST_MS), undefined, { signal }).catch(
      () => null,
    );
    let healthy: readonly Listed[] = [];
    while (!signal.aborted && healthy.length < 2) {
      healthy = (await listed(url)).filter(({ is_healthy: isHealthy }) => isHealthy);
      await delay(20);
    }
    if (signal.aborted) return n;
    const { id } = healthy[Math.floor(uniform(SEED, 1, n) * healthy.length)]!;
    const pid = pidOf(id);
    if (pid !== undefined) kill(pid, 'SIGKILL');
  }
}

describe(`${NUM_REQUESTS} requests to instances that are killed, seed ${SEED}`, function () {
  this.timeout(60_000 + 1000 * NUM_REQUESTS);

  afterEach(processes.expectNone);

  it('each has the answer of one instance, or is refused before its first token and has it when it is sent again', () =>
    withTempFolder(async (cwd) => {
      const alone = await WholeCluster.alone(DEMO_MODEL, BODIES);
      const config = { model: DEMO_MODEL, instances: [{ count: NUM_INSTANCES }], comm: { reduce: 'source' } };
      await writeFile(join(cwd, 'c.yaml'), JSON.stringify(config));
      const cluster = processes.cli(['cluster', 'c.yaml', '--port', '0'], { cwd });
      await cluster.prints('curl ');
      const url = / at (http:\S+)\n/.exec(cluster.stdout)![1]!;
      const over = new AbortController();
      const killing = killSome(url, over.signal);
      let next = 0;
      let numRefused = 0;
      const client = async (): Promise<void> => {
        for (let i = next++; i < NUM_REQUESTS; i = next++) {
          const which = i % BODIES.length;
          let answer: Answer = await ask(url, BODIES[which]!);
          while (!answer.isWhole) {
            expect(answer, `request ${i}: ${cluster.stderr}`).to.deep.include({ text: '', status: 503 });
            numRefused++;
            await delay(100);
            answer = await ask(url, BODIES[which]!);
          }
          expect(answer, `request ${i}`).to.deep.equal(alone[which]);
        }
      };
      try {
        await Promise.all(Array.from({ length: NUM_CLIENTS }, client));
      } finally {
        over.abort();
      }
      const numKills = await killing;
      expect(numKills, `kills, with ${numRefused} requests refused`).to.be.above(0);
      let left: readonly Listed[] = [];
      const look = async (): Promise<void> => void (left = await listed(url));
      await look();
      await until(
        () => {
          void look();
          return (
            left.length === NUM_INSTANCES &&
            left.every(
              ({ is_healthy: isHealthy, requests, active_blocks: blocks }) => isHealthy && requests + blocks === 0,
            )
          );
        },
        () => JSON.stringify(left),
      );
      cluster.signalGroup('SIGINT');
      expect((await cluster.ended).code, cluster.stderr).to.equal(0);
      await processes.allGone();
    }));
});
