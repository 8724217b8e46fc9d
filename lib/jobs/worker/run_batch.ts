/** Requests of a batch, sent to a server. */
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { causeText, jsonOrUndefined, printable } from '../../../base/foreign_text.js';
import { readBatchLine, type BatchLine } from '../../batches/batch_line.js';
import { LINE_RETRIES } from '../../batches/retry.js';
import type { LineAnswer, Row } from '../../batches/rows.js';
import { NotTaken, runLines, type LinesRun } from '../../batches/run_lines.js';
import { textLines } from '../../batches/text_lines.js';
import { JobError } from '../base/errors.js';
import { allowedServer } from '../work/servers.js';
import type { Execute, TryContext } from './execution.js';

/** Rows of answers, and of what was refused; those that are empty aren't there. */
export const ROW_FILES = { output: 'output.jsonl', errors: 'error.jsonl' } as const;

/** So long a shard waits for a server that isn't there, or is full, before it is tried anew. */
const PATIENCE_MS = 300_000;
/** Refusals that the log quotes. */
const MAX_QUOTED = 5;
const MAX_QUOTED_CHARS = 300;

/** Leaves {@link ROW_FILES}; the value is how many rows each has. */
export const runBatch: Execute<'batch'> = async ({ url, input, from, to, concurrency }, context) => {
  const { url: server, isNamed } = allowedServer(url, context.rights);
  const apiKey = isNamed ? context.apiKey : null;
  const rows = new Rows(context);
  const agent = new Agent({ connections: concurrency, headersTimeout: 0, bodyTimeout: 0 }); // the shard has a time limit
  try {
    await runLines({
      ...{ concurrency, signal: context.signal, retries: { ...LINE_RETRIES, patienceMs: PATIENCE_MS } },
      lines: linesOf(context.blobs.get(input), from, to),
      send: (line, id, signal) =>
        ask(`${server}${line.url}`, line, id, { apiKey, agent, signal }).catch((cause: unknown) => {
          throw new Unreachable(causeText(cause), { cause });
        }),
      write: (row) => rows.write(row),
    });
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof Unreachable || error instanceof NotTaken)) throw error;
    const text =
      error instanceof NotTaken
        ? `${server} takes no requests: ${error.message} (${PATIENCE_MS / 1000} s); give it less to do, or more time`
        : `no server answers at ${server} (${error.message}); start it, or correct the url`;
    throw new JobError('TASK_FAILED', text, { cause: error });
  } finally {
    await rows.close();
    await agent.close();
  }
  const { completed, failed } = rows;
  context.log(`${completed + failed} requests: ${completed} completed, ${failed} failed`);
  return { files: null, value: { completed, failed } };
};

/** Those of a shard. */
async function* linesOf(
  input: AsyncIterable<Uint8Array>,
  from: number,
  to: number,
): AsyncGenerator<BatchLine, void, undefined> {
  let index = 0;
  for await (const { number, text } of textLines(input, Infinity)) {
    if (index >= to) return;
    if (index++ < from) continue;
    const line = readBatchLine(text!, number, null);
    if ('problem' in line) throw new JobError('TASK_FAILED', line.problem.message);
    yield line;
  }
}

async function ask(
  url: string,
  { body }: BatchLine,
  id: string,
  { agent, apiKey, signal }: Pick<TryContext, 'apiKey' | 'signal'> & { readonly agent: Agent },
): Promise<LineAnswer> {
  const answer = await request(url, {
    ...{ method: 'POST', dispatcher: agent, signal, body: JSON.stringify(body) },
    headers: {
      ...{ 'content-type': 'application/json', 'x-request-id': id },
      ...(apiKey !== null && { authorization: `Bearer ${apiKey}` }),
    },
  });
  const text = await answer.body.text();
  const header = (name: string): string | undefined => [answer.headers[name]].flat()[0];
  const seconds = Number(header('retry-after') ?? NaN);
  return {
    status: answer.statusCode,
    requestId: header('x-request-id') ?? id,
    body: jsonOrUndefined(text) ?? text,
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : null,
  };
}

/** The files that grow. */
class Rows {
  completed = 0;
  failed = 0;
  private readonly files = new Map<string, FileHandle>();
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly context: Pick<TryContext, 'folder' | 'log'>) {}

  /** One after the other. */
  readonly write: LinesRun['write'] = (row) => {
    const written = this.last.then(() => this.append(row));
    this.last = written.catch(() => undefined);
    return written;
  };

  async close(): Promise<void> {
    await this.last;
    for (const file of this.files.values()) await file.close();
  }

  private async append({ isSuccess, customId, text }: Row): Promise<void> {
    const name = isSuccess ? ROW_FILES.output : ROW_FILES.errors;
    const file = this.files.get(name) ?? (await open(join(this.context.folder.path, name), 'w'));
    this.files.set(name, file);
    await file.writeFile(text); // goes on behind the last one
    if (isSuccess) this.completed++;
    else if (++this.failed <= MAX_QUOTED)
      this.context.log(`${printable(customId)}: ${printable(text, MAX_QUOTED_CHARS)}`);
  }
}

/** Nobody answered. */
class Unreachable extends Error {}
