import { expect } from 'chai';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BatchClient, batchConfig, jsonLines, linesOf } from '../../../kit/server/batch_client.js';
import { until } from '../../../kit/server/listening.js';
import { endless } from '../../../kit/server/played_engine.js';
import { errorOf, playedEngine, servedApp, type ServedAppOptions } from '../../../kit/server/served_app.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

async function served<T>(use: (client: BatchClient) => Promise<T>, options: ServedAppOptions = {}): Promise<T> {
  const { app, server } = await servedApp(options);
  try {
    return await use(new BatchClient(app));
  } finally {
    await server.close();
  }
}

interface Page {
  readonly data: readonly { readonly id: string }[];
  readonly has_more: boolean;
  readonly last_id: string;
}

describe('files', () => {
  it('come back as they were sent, and are gone when they are deleted', () =>
    served(async (client) => {
      const text = jsonLines(linesOf(1000));
      const answer = await client.send(text, {
        purpose: 'batch',
        'expires_after[anchor]': 'created_at',
        'expires_after[seconds]': '3600',
      });
      const file = answer.json<{ id: string; created_at: number; expires_at: number }>();
      expect(file).to.include({ object: 'file', purpose: 'batch', filename: 'lines.jsonl', bytes: text.length });
      expect(file.expires_at - file.created_at).to.equal(3600);
      expect(await client.content(file.id)).to.equal(text);
      expect((await client.ask('GET', `/v1/files/${file.id}`)).json()).to.deep.equal(file);
      const deleted = (await client.ask('DELETE', `/v1/files/${file.id}`)).json<object>();
      expect(deleted).to.deep.equal({ id: file.id, object: 'file', deleted: true });
      expect((await client.ask('GET', `/v1/files/${file.id}/content`)).statusCode).to.equal(404);
    }));

  it('are listed page by page, in either order', () =>
    served(async (client) => {
      const ids: string[] = [];
      for (let i = 0; i < 5; i++) ids.push((await client.upload(linesOf(1))).id);
      const page = async (query: string): Promise<Page> => (await client.ask('GET', `/v1/files?${query}`)).json<Page>();
      const idsOf = ({ data }: Page): string[] => data.map(({ id }) => id);
      const first = await page('limit=2');
      expect([idsOf(first), first.has_more]).to.deep.equal([[ids[4], ids[3]], true]);
      const last = await page(`limit=3&after=${first.last_id}`);
      expect([idsOf(last), last.has_more]).to.deep.equal([[ids[2], ids[1], ids[0]], false]);
      expect(idsOf(await page('order=asc&purpose=batch'))).to.deep.equal(ids);
      expect(idsOf(await page('purpose=batch_output'))).to.deep.equal([]);
      const wrong = await client.ask('GET', '/v1/files?limit=0');
      expect(errorOf(wrong)).to.include({ param: 'limit', code: 'invalid_value' });
      expect((await client.ask('GET', '/v1/files?after=file-x')).statusCode).to.equal(404);
    }));

  const refused: readonly (readonly [
    string,
    (client: BatchClient) => ReturnType<BatchClient['ask']>,
    number,
    RegExp,
  ])[] = [
    [
      'no file',
      (client) => client.ask('POST', '/v1/files', new FormDataOf({ purpose: 'batch' })),
      400,
      /file is missing/,
    ],
    ['another purpose', (client) => client.send('x', { purpose: 'vision' }), 400, /purpose is "vision"; give batch/],
    ['no purpose', (client) => client.send('x', {}), 400, /purpose is missing; give batch/],
    ['JSON', (client) => client.ask('POST', '/v1/files', { purpose: 'batch' }), 415, /multipart\/form-data/],
    ['too many fields', (client) => client.send('x', fieldsOf(20)), 413, /limit/],
    ['a lifetime of a minute', (client) => client.send('x', lifetime('60')), 400, /seconds is 60; give a whole number/],
  ];
  for (const [what, send, status, message] of refused) {
    it(`with ${what} are refused, and leave nothing`, () =>
      withTempFolder((folder) =>
        served(async (client) => {
          const answer = await send(client);
          expect([answer.statusCode, errorOf(answer).message]).to.satisfy(
            ([code, text]: [number, string]) => code === status && message.test(text),
            `${answer.statusCode} ${answer.body}`,
          );
          expect(await readdir(join(folder, 'files'))).to.deep.equal([]);
        }, batchConfig({ folder })),
      ));
  }

  it('beyond the limits are refused, and leave nothing', () =>
    withTempFolder((folder) =>
      served(
        async (client) => {
          const long = await client.send('x'.repeat(2001));
          expect([long.statusCode, errorOf(long).message]).to.deep.equal([
            413,
            'the file has more than server.batches.max_file_bytes, 2000 bytes; send it in several files',
          ]);
          expect((await client.send('x'.repeat(2000))).statusCode).to.equal(200);
          const full = await client.send('x'.repeat(1001));
          expect([full.statusCode, errorOf(full).code]).to.deep.equal([507, 'storage_full']);
          expect(errorOf(full).message).to.match(/max_bytes, 3000 bytes; delete some first/);
          expect(await readdir(join(folder, 'files'))).to.have.length(2);
        },
        batchConfig({ folder, max_file_bytes: 2000, max_bytes: 3000 }),
      ),
    ));

  it('that a batch reads stay until it is over', async () => {
    const engine = await playedEngine(endless());
    await served(
      async (client) => {
        const { id, input_file_id: file } = await client.create(linesOf(1));
        await until(() => engine.numRunning === 1);
        const kept = await client.ask('DELETE', `/v1/files/${file}`);
        expect([kept.statusCode, errorOf(kept).message]).to.deep.equal([
          409,
          `a batch reads file ${file}; cancel the batch, or wait for its end`,
        ]);
        await client.ask('POST', `/v1/batches/${id}/cancel`);
        await client.over(id);
        expect((await client.ask('DELETE', `/v1/files/${file}`)).statusCode).to.equal(200);
      },
      { engine },
    );
  });
});

describe('batches', () => {
  it('are refused where a field is wrong, by its name', () =>
    served(async (client) => {
      const { id } = await client.upload(linesOf(1));
      const wrong: readonly (readonly [object, string])[] = [
        [{ endpoint: '/v1/embeddings' }, 'endpoint'],
        [{ completion_window: '1h' }, 'completion_window'],
        [{ metadata: { a: 5 } }, 'metadata.a'],
        [{ input_file_id: 'file-x' }, 'input_file_id'],
      ];
      for (const [fields, param] of wrong) {
        expect(errorOf(await client.begin(id, fields)), JSON.stringify(fields)).to.include({ param });
      }
    }));

  it('that aren’t over are bounded, and a further one is told to wait', async () => {
    const engine = await playedEngine(endless());
    await served(
      async (client) => {
        await client.create(linesOf(1));
        await client.create(linesOf(1));
        const answer = await client.begin((await client.upload(linesOf(1))).id);
        expect([answer.statusCode, errorOf(answer).code, answer.headers['retry-after']]).to.deep.equal([
          429,
          'queue_full',
          '1',
        ]);
      },
      { engine, ...batchConfig({ max_batches: 2 }) },
    );
  });

  it('with too many lines, or too long ones, fail before anything runs', async () => {
    const options = batchConfig({ max_lines: 3 }, { max_body_bytes: 1024 });
    await served(async (client) => {
      const many = await client.over((await client.create(linesOf(4))).id);
      expect(many.errors!.data![0]!.message).to.match(/more than 3 requests/);
      const long = await client.over((await client.create(linesOf(1, () => ({ prompt: 'x'.repeat(1100) })))).id);
      expect(long.errors!.data![0]).to.deep.include({ code: 'line_too_long', line: 1 });
    }, options);
  });
});

const fieldsOf = (num: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: num }, (_, i) => [`f${i}`, 'x']));

const lifetime = (seconds: string): Record<string, string> => ({
  ...{ purpose: 'batch', 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': seconds },
});

class FormDataOf extends FormData {
  constructor(fields: Readonly<Record<string, string>>) {
    super();
    for (const [name, value] of Object.entries(fields)) this.append(name, value);
  }
}
