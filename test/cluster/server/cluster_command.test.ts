import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { kill, lastLine, Processes, until, type Running } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();

/** Runs `expertwire cluster` with these instances. */
async function withCluster(instances: object, act: (cluster: Running) => Promise<void>): Promise<void> {
  await withTempFolder(async (cwd) => {
    const config = { model: DEMO_MODEL, instances, comm: { reduce: 'source' } };
    await writeFile(join(cwd, 'c.yaml'), JSON.stringify(config));
    await act(processes.cli(['cluster', 'c.yaml', '--port', '0'], { cwd }));
  });
}

/** Waits for its greeting. */
async function urlOf(command: Running): Promise<string> {
  await command.prints('curl ');
  return / at (http:\S+)\n/.exec(command.stdout)![1]!;
}

async function answerOf(url: string): Promise<string> {
  const body = JSON.stringify({ model: 'moe-7m', prompt: 'Call me', max_tokens: 8, temperature: 0 });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers, body });
  const answer = (await response.json()) as { readonly choices?: readonly { readonly text: string }[] };
  expect(response.status, JSON.stringify(answer)).to.equal(200);
  return answer.choices![0]!.text;
}

/** The process of an instance itself. */
const pidOf = (name: string): number =>
  processes.running().find(({ argv }) => argv[argv.indexOf('--instance') + 1] === name)!.pid;

const servingOf = (command: Running): readonly string[] =>
  [...command.stderr.matchAll(/instance mixed-\d serves at (http:[\d./:]+\d)/g)].map(([, url]) => url!);

describe('a cluster of one command', function () {
  this.timeout(120_000);

  afterEach(processes.expectNone);

  it('answers while an instance is killed, names it, starts it anew, and ends as a whole', () =>
    withCluster([{ count: 2 }], async (cluster) => {
      const url = await urlOf(cluster);
      expect(cluster.stdout).to.match(/^serving 2 instances \(mixed-0, mixed-1\) of "moe-7m" at /);
      const answer = await answerOf(url);
      const pid = pidOf('mixed-0');
      kill(pid, 'SIGKILL');
      expect(await answerOf(url)).to.equal(answer);
      await cluster.warns(`instance mixed-0 (process ${pid}) was killed by SIGKILL`);
      const serves = (): number => servingOf(cluster).length;
      await until(
        () => serves() === 3,
        () => cluster.stderr,
      );
      await cluster.warns(/(?:"instance":"mixed-0"[^\n]*an instance is there\b[^]*){2}/);

      const urls = servingOf(cluster).slice(1);
      const route = processes.cli(['route', ...urls.flatMap((each) => ['--url', each]), '--port', '0']);
      expect(await answerOf(await urlOf(route))).to.equal(answer);
      route.signal('SIGINT');
      expect((await route.ended).code, route.stderr).to.equal(0);

      cluster.signalGroup('SIGINT');
      expect((await cluster.ended).code, cluster.stderr).to.equal(0);
      await processes.allGone();
    }));

  it('ends where an instance can’t start, and says which and why', () =>
    withCluster([{}, { name: 'broken', set: { server: { record_dir: '/no/such/folder' } } }], async (cluster) => {
      const { code, stderr } = await cluster.ended;
      expect(code).to.equal(1);
      expect(lastLine(stderr)).to.match(
        /^expertwire: START_FAILED: instance broken \(process \d+\) ended with exit code 2; its last words: .*record_dir/,
      );
      await processes.allGone();
    }));

  it('leaves no instance behind where it is killed itself', () =>
    withCluster([{}], async (cluster) => {
      await urlOf(cluster);
      cluster.signal('SIGKILL');
      await processes.allGone();
    }));
});
