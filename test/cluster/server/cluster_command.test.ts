import { expect } from 'chai';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { kill, lastLine, Processes, until, type Running } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const processes = new Processes();

/** Runs `expertwire cluster` with these instances. */
async function withCluster(
  instances: object,
  act: (cluster: Running) => Promise<void>,
  env: Readonly<Record<string, string>> = {},
  more: object = {},
): Promise<void> {
  await withTempFolder(async (cwd) => {
    const config = { model: DEMO_MODEL, instances, comm: { reduce: 'source' }, ...more };
    await writeFile(join(cwd, 'c.yaml'), JSON.stringify(config));
    await act(processes.cli(['cluster', 'c.yaml', '--port', '0'], { cwd, env }));
  });
}

/** Waits for its greeting. */
async function urlOf(command: Running): Promise<string> {
  await command.prints('curl ');
  return / at (http:\S+)\n/.exec(command.stdout)![1]!;
}

/** That the instances of a cluster and every router before them know. */
const KEY = { EXPERTWIRE_CLUSTER_KEY: 'of-this-test' };
const HEADERS = { 'content-type': 'application/json' };
const bodyOf = (fields: object): string =>
  JSON.stringify({ model: 'moe-7m', prompt: 'Call me', max_tokens: 120, temperature: 0, ignore_eos: true, ...fields });

async function answerOf(url: string): Promise<string> {
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers: HEADERS, body: bodyOf({}) });
  const answer = (await response.json()) as Answer;
  expect(response.status, JSON.stringify(answer)).to.equal(200);
  return answer.choices[0]!.text;
}

interface Answer {
  readonly choices: readonly { readonly text: string }[];
}

/** The text of a stream; `onToken` is told of each token, from 1. */
async function streamOf(
  url: string,
  onToken: (n: number) => Promise<void>,
  fields: object = {},
  signal: AbortSignal | null = null,
): Promise<string> {
  const body = bodyOf({ ...fields, stream: true });
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers: HEADERS, body, signal });
  let text = '';
  let numTokens = 0;
  const events = response.body!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  for await (const { data } of events) {
    if (data === '[DONE]') break;
    text += (JSON.parse(data) as Answer).choices[0]!.text;
    await onToken(++numTokens);
  }
  return text;
}

/** Where a request runs, as the router has it. */
async function busyOf(url: string): Promise<string> {
  const { instances } = (await (await fetch(`${url}/instances`)).json()) as {
    readonly instances: readonly { readonly id: string; readonly requests: number }[];
  };
  return instances.find(({ requests }) => requests > 0)!.id;
}

/** The process of an instance itself. */
const pidOf = (name: string): number =>
  processes.running().find(({ argv }) => argv[argv.indexOf('--instance') + 1] === name)!.pid;

const servingOf = (command: Running): { readonly name: string; readonly url: string }[] =>
  [...command.stderr.matchAll(/instance (mixed-\d) serves at (http:[\d./:]+\d)/g)].map(([, name, url]) => ({
    name: name!,
    url: url!,
  }));

describe('a cluster of one command', function () {
  this.timeout(120_000);

  afterEach(processes.expectNone);

  it('a stream whose instance is killed goes on to the byte; the instance is named and started anew, and all end together', () =>
    withCluster(
      [{ count: 2 }],
      async (cluster) => {
        const url = await urlOf(cluster);
        expect(cluster.stdout).to.match(/^serving 2 instances \(mixed-0, mixed-1\) of "moe-7m" at /);
        const answer = await answerOf(url);
        let killed = { id: '', pid: 0 };
        const text = await streamOf(url, async (n) => {
          if (n !== 10) return;
          const id = await busyOf(url);
          killed = { id, pid: pidOf(id) };
          kill(killed.pid, 'SIGKILL');
        });
        expect(text).to.equal(answer);
        const { id, pid } = killed;
        await cluster.warns(`instance ${id} (process ${pid}) was killed by SIGKILL`);
        const serves = (): number => servingOf(cluster).length;
        await until(
          () => serves() === 3,
          () => cluster.stderr,
        );
        await cluster.warns(new RegExp(`(?:"instance":"${id}"[^\\n]*an instance is there\\b[^]*){2}`));

        const urls = ['mixed-0', 'mixed-1'].map(
          (name) => servingOf(cluster).findLast((each) => each.name === name)!.url,
        );
        const route = processes.cli(['route', ...urls.flatMap((each) => ['--url', each]), '--port', '0'], { env: KEY });
        expect(await answerOf(await urlOf(route))).to.equal(answer);
        route.signal('SIGINT');
        expect((await route.ended).code, route.stderr).to.equal(0);

        cluster.signalGroup('SIGINT');
        expect((await cluster.ended).code, cluster.stderr).to.equal(0);
        await processes.allGone();
      },
      KEY,
    ));

  it('starts one more instance under load, and ends it again behind that: streams go on to the byte', () =>
    withCluster(
      [{ max_count: 2, set: { engine: { num_kv_blocks: 64 } } }],
      async (cluster) => {
        const url = await urlOf(cluster);
        expect(cluster.stdout).to.match(/^serving 1 instance \(mixed-0\) of "moe-7m" at /);
        const long = { max_tokens: 500 };
        const nothing = (): Promise<void> => Promise.resolve();
        const answer = streamOf(url, nothing, long);
        const load = new AbortController();
        const others = Array.from({ length: 2 }, async () => {
          while (!load.signal.aborted) await streamOf(url, nothing, long, load.signal).catch(String);
        });
        await cluster.warns('mixed-1 is started: ');
        await cluster.warns(/"instance":"mixed-1"[^\n]*an instance is there\b/);
        const text = await streamOf(
          url,
          async (n) => {
            if (n === 1) load.abort();
            if (n === 2) await cluster.warns('mixed-1 drains and ends: ');
          },
          long,
        );
        expect(text).to.equal(await answer);
        await Promise.all(others);
        await cluster.warns('mixed-1 has ended');
        expect(await (await fetch(`${url}/instances`)).text()).not.to.contain('mixed-1');
        cluster.signalGroup('SIGINT');
        expect((await cluster.ended).code, cluster.stderr).to.equal(0);
        await processes.allGone();
      },
      {},
      { router: { elastic: { interval_ms: 20, cool_down_ms: 100, add_below: 30, remove_above: 50 } } },
    ));

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
