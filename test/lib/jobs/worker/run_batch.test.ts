import { expect } from 'chai';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { JobBus } from '../../../../lib/jobs/base/job_bus.js';
import type { Shard, ShardKey, TaskWork } from '../../../../lib/jobs/base/task.js';
import { runBatch } from '../../../../lib/jobs/worker/run_batch.js';
import { taskOf } from '../../../kit/jobs/tasks.js';
import { withPlayedWorkers, type Play } from '../../../kit/jobs/worker_scene.js';

const KEY: ShardKey = { run: 'r', node: 'work', index: 0 };
type BatchWork = Extract<TaskWork, { readonly kind: 'batch' }>;

/** Answers by what the request says; tells of each. */
async function withServer(
  use: (url: string, asked: { readonly body: string; readonly headers: IncomingMessage['headers'] }[]) => Promise<void>,
  statusOf: (body: string, number: number) => number = () => 200,
): Promise<void> {
  const asked: { readonly body: string; readonly headers: IncomingMessage['headers'] }[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      asked.push({ body, headers: request.headers });
      response.writeHead(statusOf(body, asked.length), { 'content-type': 'application/json', 'x-request-id': 'own' });
      response.end(JSON.stringify({ echo: JSON.parse(body) as unknown }));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const lineOf = (i: number): string =>
  `${JSON.stringify({ custom_id: `r${i}`, method: 'POST', url: '/v1/completions', body: { prompt: `${i}` } })}\n\n`;

async function* blobOf(num: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < num; i++) {
    await Promise.resolve();
    yield Buffer.from(lineOf(i));
  }
}

/** `server`: one that the worker's owner named. */
const batch =
  ({ apiKey = null, server }: { readonly apiKey?: string | null; readonly server?: string } = {}): Play =>
  (context) => {
    const rights = { ...context.rights, servers: server === undefined ? [] : [server] };
    return runBatch(context.task.work as BatchWork, { ...context, apiKey, rights });
  };

/** What a shard left, by the names of its files. */
async function filesOf(bus: JobBus, shard: Shard): Promise<Readonly<Record<string, string>>> {
  if (shard.state !== 'done') return expect.fail(JSON.stringify(shard));
  const files = shard.files.map(async ({ name, blob }) => [name, await text(bus.blobs.get(blob))] as const);
  return Object.fromEntries(await Promise.all(files));
}

const idsOf = (rows: string): string[] =>
  rows
    .split('\n')
    .filter((row) => row !== '')
    .map((row) => (JSON.parse(row) as { custom_id: string }).custom_id);

describe('a shard of a batch', () => {
  const add = (bus: JobBus, url: string, [from, to]: readonly [number, number], more = {}): Promise<void> => {
    const work: BatchWork = { kind: 'batch', url, input: 'b', from, to, concurrency: 2 };
    return bus.tasks.add([{ id: 'x', to: null, task: taskOf('r', 0, { work, ...more }) }]);
  };

  it('sends its own lines, with the worker’s key, and leaves a row for each', () =>
    withServer(
      (url, asked) =>
        withPlayedWorkers(async ({ bus, start, shard }) => {
          await bus.blobs.put('b', blobOf(10));
          await start('w', batch({ apiKey: 'sesame', server: url }));
          await add(bus, `${url}/`, [3, 7]);
          const ended = await shard(KEY);
          expect(ended).to.deep.include({ state: 'done', value: { completed: 3, failed: 1 } });
          const files = await filesOf(bus, ended);
          expect(idsOf(files['output.jsonl']!).sort()).to.deep.equal(['r3', 'r5', 'r6']);
          expect(idsOf(files['error.jsonl']!)).to.deep.equal(['r4']);
          expect(files['output.jsonl']).to.match(/"response":\{"status_code":200,"request_id":"own","body":\{"echo":/);
          expect(asked.map(({ body }) => (JSON.parse(body) as { prompt: string }).prompt).sort()).to.deep.equal([
            '3',
            '4',
            '5',
            '6',
          ]);
          expect(new Set(asked.map(({ headers }) => headers.authorization))).to.deep.equal(new Set(['Bearer sesame']));
        }),
      (body) => (body.includes('4') ? 400 : 200),
    ));

  it('has one file of rows where all went well, and waits for a server that is full', () =>
    withServer(
      (url, asked) =>
        withPlayedWorkers(async ({ bus, start, shard }) => {
          await bus.blobs.put('b', blobOf(3));
          await start('w', batch({ apiKey: 'sesame' })); // it is for servers that were named
          await add(bus, url, [0, 3]);
          expect(Object.keys(await filesOf(bus, await shard(KEY)))).to.deep.equal(['output.jsonl']);
          expect(asked.length).to.equal(5);
          expect(asked[0]!.headers.authorization).to.equal(undefined);
        }),
      (_body, number) => (number <= 2 ? 503 : 200),
    ));

  it('tells a disk that can’t be written from a server that isn’t there', () =>
    withServer((url) =>
      withPlayedWorkers(async ({ bus, start, shard }) => {
        await bus.blobs.put('b', blobOf(1));
        await start('w', async (context) => {
          await mkdir(join(context.folder.path, 'output.jsonl'));
          return batch()(context);
        });
        await add(bus, url, [0, 1], { retries: { count: 0, backoffMs: 0, maxBackoffMs: 0 } });
        expect(JSON.stringify(await shard(KEY)))
          .to.match(/EISDIR/)
          .and.not.match(/no server answers/);
      }),
    ));

  it('asks no server that the worker’s owner didn’t name', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      await bus.blobs.put('b', blobOf(1));
      await start('w', batch());
      await add(bus, 'http://10.0.0.1:8000', [0, 1], { retries: { count: 0, backoffMs: 0, maxBackoffMs: 0 } });
      const ended = await shard(KEY);
      expect(ended).to.include({ state: 'failed' });
      expect(JSON.stringify(ended)).to.match(/NOT_ALLOWED.*start it with --server http:\/\/10\.0\.0\.1:8000/);
    }));
});
