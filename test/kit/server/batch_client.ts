/** A client of /v1/files and /v1/batches, without a network. */
import type OpenAI from 'openai';
import type { PartialConfig } from '../../../lib/config/load.js';
import { DEFAULTS } from '../../../lib/config/schema.js';
import type { ServerApp } from '../../../lib/server/base/part.js';
import { until } from './listening.js';

type Batch = OpenAI.Batches.Batch;
type FileObject = OpenAI.Files.FileObject;

/** A row of an output, as far as tests look at it. */
export interface ReadRow {
  readonly id: string;
  readonly custom_id: string;
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: {
      readonly choices?: readonly { readonly text: string }[];
      readonly error?: { readonly code: string };
    };
  } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** A configuration with these settings of batches, and of the server. */
export const batchConfig = (
  batches: Partial<typeof DEFAULTS.server.batches>,
  server: PartialConfig['server'] = {},
): { readonly base: PartialConfig } => ({
  base: { server: { ...server, batches: { ...DEFAULTS.server.batches, ...batches } } },
});

/** Lines of completions, each with its own id. */
export const linesOf = (num: number, body: (i: number) => object = () => ({})): object[] =>
  Array.from({ length: num }, (_, i) => ({
    ...{ custom_id: `r${i}`, method: 'POST', url: '/v1/completions' },
    body: { model: 'moe-7m', prompt: 'Call me', ...body(i) },
  }));

export const jsonLines = (lines: readonly object[]): string =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join('');

export class BatchClient {
  constructor(
    readonly app: ServerApp,
    private readonly key: string | null = null,
  ) {}

  /** The answer to any request. */
  ask(method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) {
    const headers = this.key === null ? {} : { authorization: `Bearer ${this.key}` };
    return this.app.inject({ method, url, headers, ...(payload !== undefined && { payload }) });
  }

  /** The answer to an upload. */
  send(text: string, fields: Readonly<Record<string, string>> = { purpose: 'batch' }) {
    const form = new FormData();
    form.append('file', new Blob([text]), 'lines.jsonl');
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    return this.ask('POST', '/v1/files', form);
  }

  async upload(lines: readonly object[]): Promise<FileObject> {
    return (await this.send(jsonLines(lines))).json<FileObject>();
  }

  /** The answer to one that is begun. */
  begin(fileId: string, fields: object = {}) {
    const body = { input_file_id: fileId, endpoint: '/v1/completions', completion_window: '24h', ...fields };
    return this.ask('POST', '/v1/batches', body);
  }

  async create(lines: readonly object[], fields: object = {}): Promise<Batch> {
    return (await this.begin((await this.upload(lines)).id, fields)).json<Batch>();
  }

  async batch(id: string): Promise<Batch> {
    return (await this.ask('GET', `/v1/batches/${id}`)).json<Batch>();
  }

  /** Waits for a status. */
  async reached(id: string, ...statuses: readonly Batch['status'][]): Promise<Batch> {
    let batch = await this.batch(id);
    const look = async (): Promise<void> => void (batch = await this.batch(id));
    while (!statuses.includes(batch.status)) {
      let isLooking = true;
      void look().finally(() => (isLooking = false));
      await until(() => !isLooking);
    }
    return batch;
  }

  over(id: string): Promise<Batch> {
    return this.reached(id, 'completed', 'failed', 'expired', 'cancelled');
  }

  async content(fileId: string): Promise<string> {
    return (await this.ask('GET', `/v1/files/${fileId}/content`)).body;
  }

  /** By their lines; a file that isn't there has none. */
  async rows(fileId: string | null | undefined): Promise<ReadonlyMap<string, ReadRow>> {
    const text = fileId == null ? '' : await this.content(fileId);
    const rows = text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as ReadRow);
    return new Map(rows.map((row) => [row.custom_id, row]));
  }
}
