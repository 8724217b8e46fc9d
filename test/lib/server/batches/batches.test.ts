import { expect } from 'chai';
import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../../../../lib/config/errors.js';
import type { BatchRecord } from '../../../../lib/server/batches/batch_record.js';
import { errorOf as rejection } from '../../../kit/rejects.js';
import { BatchClient, batchConfig, linesOf } from '../../../kit/server/batch_client.js';
import { until } from '../../../kit/server/listening.js';
import { endless, playText, type PlayedEngine, type Play } from '../../../kit/server/played_engine.js';
import { errorOf, playedEngine, servedApp, type ServedAppOptions } from '../../../kit/server/served_app.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

interface Served {
  readonly client: BatchClient;
  readonly engine: PlayedEngine;
  readonly server: Awaited<ReturnType<typeof servedApp>>['server'];
}

/** A server that is closed in the end. */
async function served<T>(use: (served: Served) => Promise<T>, options: ServedAppOptions = {}): Promise<T> {
  const { app, server, engine } = await servedApp(options);
  try {
    return await use({ client: new BatchClient(app, options.apiKeys?.[0] ?? null), engine, server });
  } finally {
    await server.close();
  }
}

const withFolder = (folder: string, more: Parameters<typeof batchConfig>[0] = {}): ServedAppOptions =>
  batchConfig({ folder, ...more });

/** The first `num` requests end; others go on until they are given up. */
const firstOnly = (num: number): Play => {
  let numBegun = 0;
  return (request, signal) => (numBegun++ < num ? playText('Call me')(request, signal) : endless()(request, signal));
};

describe('a batch', () => {
  it('is run line by line, and leaves rows that tell lines apart', () =>
    served(async ({ client, engine }) => {
      const { id } = await client.create(linesOf(40), { metadata: { of: 'test' } });
      const batch = await client.over(id);
      expect(batch).to.include({ status: 'completed', object: 'batch', error_file_id: null, errors: null });
      expect(batch.request_counts).to.deep.equal({ total: 40, completed: 40, failed: 0 });
      expect([batch.metadata, batch.model]).to.deep.equal([{ of: 'test' }, 'moe-7m']);
      expect(batch.expires_at! - batch.created_at).to.equal(86_400);
      for (const time of ['in_progress_at', 'finalizing_at', 'completed_at'] as const) {
        expect(batch[time], time).to.be.at.least(batch.created_at);
      }
      const rows = await client.rows(batch.output_file_id);
      expect([...rows.keys()].sort()).to.deep.equal(
        linesOf(40)
          .map((line) => (line as { custom_id: string }).custom_id)
          .sort(),
      );
      for (const { response, id: name } of rows.values()) {
        expect(response).to.deep.include({ status_code: 200, request_id: name });
        expect(response!.body.choices![0]!.text).to.equal('Call me');
      }
      expect(batch.usage!.output_tokens).to.equal(40 * 7);
      expect(engine.requests.every(({ priority }) => priority === 2 ** 31 - 1)).to.equal(true);
    }));

  it('has what the server refuses in a file of errors', () =>
    served(async ({ client }) => {
      const { id } = await client.create(linesOf(4, (i) => (i % 2 === 0 ? {} : { temperature: -1 })));
      const batch = await client.over(id);
      expect(batch.request_counts).to.deep.equal({ total: 4, completed: 2, failed: 2 });
      expect([...(await client.rows(batch.output_file_id)).keys()].sort()).to.deep.equal(['r0', 'r2']);
      const errors = await client.rows(batch.error_file_id);
      expect([...errors.keys()].sort()).to.deep.equal(['r1', 'r3']);
      expect(errors.get('r1')!.response).to.include({ status_code: 400 });
      expect(errors.get('r1')!.response!.body.error!.code).to.equal('invalid_value');
    }));

  it('fails as a whole, and runs nothing, where a line is wrong', () =>
    served(async ({ client, engine }) => {
      const [line] = linesOf(1);
      const { id } = await client.create([line!, { ...line, custom_id: 5 }, line!]);
      const batch = await client.over(id);
      expect(batch).to.include({ status: 'failed', output_file_id: null, error_file_id: null });
      expect(batch.errors!.data!.map(({ code, line: number }) => [code, number])).to.deep.equal([
        ['invalid_value', 2],
        ['duplicate_custom_id', 3],
      ]);
      expect(engine.requests).to.have.length(0);
    }));

  it('that is cancelled breaks off what runs, and each line has a row', async () => {
    const engine = await playedEngine(firstOnly(2));
    await served(
      async ({ client }) => {
        const { id } = await client.create(linesOf(100));
        await until(() => engine.numRunning === 4 && engine.requests.length === 6);
        expect((await client.ask('POST', `/v1/batches/${id}/cancel`)).json()).to.include({ status: 'cancelling' });
        const batch = await client.over(id);
        expect(batch.status).to.equal('cancelled');
        expect(batch.request_counts).to.deep.equal({ total: 100, completed: 2, failed: 98 });
        expect(engine.numRunning).to.equal(0);
        expect((await client.rows(batch.output_file_id)).size).to.equal(2);
        const errors = await client.rows(batch.error_file_id);
        expect(errors.size).to.equal(98);
        for (const { error, response } of errors.values()) {
          expect([error!.code, response]).to.deep.equal(['batch_cancelled', null]);
        }
        const again = await client.ask('POST', `/v1/batches/${id}/cancel`);
        expect([again.statusCode, errorOf(again).code]).to.deep.equal([409, 'conflict']);
      },
      { engine, ...batchConfig({ concurrency: 4 }) },
    );
  });

  it('is no way to what only the cluster and this machine may', async () => {
    const lines = linesOf(2, (i) => (i === 0 ? { resume: { token_ids: [1], seed: 1, created: 1 } } : {}));
    await served(
      async ({ client, engine }) => {
        const batch = await client.over((await client.create(lines)).id);
        expect(batch.request_counts).to.deep.equal({ total: 2, completed: 1, failed: 1 });
        const [row] = [...(await client.rows(batch.error_file_id)).values()];
        expect(row!.response!.status_code).to.be.within(400, 403);
        expect(engine.requests).to.have.length(1);
      },
      { base: { cluster: { bus: 'local' } } },
    );
  });
});

describe('a batch in a folder', () => {
  it('goes on behind the last whole row when its server is gone', () =>
    withTempFolder(async (folder) => {
      const first = await playedEngine(firstOnly(5));
      const id = await served(
        async ({ client }) => {
          const batch = await client.create(linesOf(20));
          await until(() => first.requests.length === 7);
          return batch.id;
        },
        { engine: first, ...withFolder(folder, { concurrency: 2 }) },
      );
      const rows = join(folder, 'batches', `${id}.output.jsonl`);
      const before = (await readFile(rows, 'utf8')).split('\n');
      expect(before).to.have.length(6);
      await appendFile(rows, '{"id":"batch_req_9","custom_id":"r19","response":nul');
      await served(async ({ client, engine }) => {
        const batch = await client.over(id);
        expect(batch.request_counts).to.deep.equal({ total: 20, completed: 20, failed: 0 });
        expect(engine.requests).to.have.length(15);
        const content = (await client.content(batch.output_file_id!)).split('\n');
        expect(content.slice(0, 5)).to.deep.equal(before.slice(0, 5));
        expect((await client.rows(batch.output_file_id)).size).to.equal(20);
        expect(content).to.have.length(21);
      }, withFolder(folder));
    }));

  it('is there with its files when the next server is', () =>
    withTempFolder(async (folder) => {
      const batch = await served(
        async ({ client }) => client.over((await client.create(linesOf(3))).id),
        withFolder(folder),
      );
      await served(async ({ client, engine }) => {
        expect(await client.batch(batch.id)).to.deep.equal(batch);
        expect((await client.rows(batch.output_file_id)).size).to.equal(3);
        expect(engine.requests).to.have.length(0);
      }, withFolder(folder));
    }));

  const ends: readonly (readonly [string, (batch: BatchRecord) => BatchRecord, string])[] = [
    ['while it was validated', (batch) => ({ ...batch, status: 'validating' }), 'completed'],
    ['while it was cancelled', (batch) => ({ ...batch, status: 'cancelling' }), 'cancelled'],
    [
      'between its rows and its end',
      (batch) => ({ ...batch, status: 'finalizing', outcome: 'completed' }),
      'completed',
    ],
    ['and its day is over', (batch) => ({ ...batch, status: 'in_progress', expiresS: 5 }), 'expired'],
  ];
  for (const [when, change, status] of ends) {
    it(`ends as ${status} where its server died ${when}`, () =>
      withTempFolder(async (folder) => {
        const { id, file } = await served(async ({ client }) => {
          const batch = await client.over((await client.create(linesOf(3))).id);
          return { id: batch.id, file: batch.output_file_id! };
        }, withFolder(folder));
        const path = join(folder, 'batches', `${id}.json`);
        const record = JSON.parse(await readFile(path, 'utf8')) as BatchRecord;
        const dead = change({ ...record, outcome: null, hasOutput: false });
        await writeFile(path, JSON.stringify(dead));
        if (dead.outcome === null) for (const name of [file, `${file}.json`]) await rm(join(folder, 'files', name));
        await served(async ({ client }) => {
          const batch = await client.over(id);
          expect(batch.status).to.equal(status);
          const output = await client.rows(batch.output_file_id);
          const errors = await client.rows(batch.error_file_id);
          expect([...output.keys(), ...errors.keys()].sort()).to.deep.equal(['r0', 'r1', 'r2']);
          for (const { error } of errors.values()) expect(error!.code).to.equal(`batch_${status}`);
        }, withFolder(folder));
      }));
  }

  it('drains: lines that run have their rows, others are the next server’s', () =>
    withTempFolder(async (folder) => {
      let go: () => void = () => undefined;
      const gate = new Promise<void>((resolve) => (go = resolve));
      const held: Play = async function* (request, signal) {
        await gate;
        yield* playText('Call me')(request, signal);
      };
      const engine = await playedEngine(held);
      const id = await served(
        async ({ client, server }) => {
          const batch = await client.create(linesOf(10));
          await until(() => engine.numRunning === 3);
          const drained = server.drain();
          go();
          expect(await drained).to.equal(0);
          return batch.id;
        },
        { engine, ...withFolder(folder, { concurrency: 3 }) },
      );
      expect(engine.requests).to.have.length(3);
      await served(async ({ client, engine: next }) => {
        expect((await client.over(id)).request_counts).to.deep.equal({ total: 10, completed: 10, failed: 0 });
        expect(next.requests).to.have.length(7);
      }, withFolder(folder));
    }));

  it('belongs to one server at a time, which says so before it starts', () =>
    withTempFolder((folder) =>
      served(async () => {
        const error = await rejection(ConfigError, () => servedApp(withFolder(folder)));
        expect(error.message).to.match(
          /"server\.batches\.folder" is .*, which process \d+ on .* uses.*; give each server its own/,
        );
      }, withFolder(folder)),
    ));

  it('that can’t be made is told by its key', () =>
    withTempFolder(async (folder) => {
      await writeFile(join(folder, 'file'), '');
      const error = await rejection(ConfigError, () => servedApp(withFolder(join(folder, 'file', 'x'))));
      expect(error.message).to.match(/"server\.batches\.folder" is .*, which can't be used \(ENOTDIR.*; give the path/);
    }));

  it('passes over what it can’t read, and removes what was not whole', () =>
    withTempFolder(async (folder) => {
      await mkdir(join(folder, 'files'), { recursive: true });
      await writeFile(join(folder, 'files', 'file-1.json'), '{');
      await writeFile(join(folder, 'files', `file-${'2'.repeat(24)}.arriving`), 'x');
      await writeFile(join(folder, 'files', `file-${'3'.repeat(24)}`), 'x');
      await served(async ({ client }) => {
        expect((await client.ask('GET', '/v1/files')).json()).to.deep.include({ data: [] });
        expect(await readdir(join(folder, 'files'))).to.deep.equal(['file-1.json']);
      }, withFolder(folder));
    }));
});

describe('batches of several keys', () => {
  it('see their own files and batches alone, and run in a server with keys', () =>
    served(
      async ({ client }) => {
        const other = new BatchClient(client.app, 'two');
        const batch = await client.over((await client.create(linesOf(2))).id);
        expect(batch.request_counts!.completed).to.equal(2);
        const urls = [`/v1/files/${batch.input_file_id}`, `/v1/files/${batch.output_file_id!}/content`];
        for (const url of [...urls, `/v1/batches/${batch.id}`]) {
          const answer = await other.ask('GET', url);
          expect([answer.statusCode, errorOf(answer).code], url).to.deep.equal([404, 'not_found']);
        }
        expect((await other.ask('DELETE', urls[0]!)).statusCode).to.equal(404);
        expect((await other.ask('POST', `/v1/batches/${batch.id}/cancel`)).statusCode).to.equal(404);
        expect((await other.begin(batch.input_file_id)).statusCode).to.equal(404);
        for (const url of ['/v1/files', '/v1/batches']) {
          expect((await other.ask('GET', url)).json()).to.deep.include({ data: [], has_more: false, first_id: null });
        }
        expect((await new BatchClient(client.app, 'three').ask('GET', '/v1/files')).statusCode).to.equal(401);
      },
      { apiKeys: ['one', 'two'] },
    ));
});
