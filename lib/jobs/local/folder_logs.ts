/** What tasks say: of each run a file of lines, and the one before it. Both together are bounded. */
import { appendFile, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import { closedError } from '../base/errors.js';
import type { JobClock, LogLine, Logs } from '../base/job_bus.js';
import { waited } from './clock.js';

/** Of one of the two files. */
const MAX_BYTES = 2 ** 23;
const LOOK_EVERY_MS = 200;

/** {@link Logs} in a folder. */
export class FolderLogs implements Logs {
  private last: Promise<void> = Promise.resolve();
  private isClosed = false;

  constructor(
    private readonly folder: string,
    private readonly clock: JobClock,
    private readonly maxBytes = MAX_BYTES,
  ) {}

  /** As {@link Logs.append}. */
  append(lines: readonly LogLine[]): Promise<void> {
    const work = this.last.then(async () => {
      if (this.isClosed) throw closedError();
      for (const run of new Set(lines.map((line) => line.run))) {
        await this.appendTo(
          run,
          lines.filter((line) => line.run === run),
        );
      }
    });
    this.last = work.catch(() => undefined);
    return work;
  }

  /** As {@link Logs.read}. */
  async *read(what: Parameters<Logs['read']>[0], follow: AbortSignal | null): AsyncGenerator<LogLine> {
    const isMeant = ({ node, index }: LogLine): boolean =>
      (what.node === undefined || what.node === node) && (what.index === undefined || what.index === index);
    // Lines are told by their place behind the first that was ever written: the older file goes, and with it some that were told.
    let numTold = 0;
    for (;;) {
      const { numGone, lines } = await this.linesOf(what.run);
      for (const line of lines.slice(Math.max(numTold - numGone, 0))) if (isMeant(line)) yield line;
      numTold = numGone + lines.length;
      if (follow === null || follow.aborted) return;
      await waited(this.clock, LOOK_EVERY_MS, follow);
    }
  }

  /** As {@link Logs.remove}. */
  async remove(run: string): Promise<void> {
    await rm(dirname(this.pathOf(run)), { recursive: true, force: true });
  }

  /** What was appended is in its file. */
  async close(): Promise<void> {
    await this.last;
    this.isClosed = true;
  }

  private async appendTo(run: string, lines: readonly LogLine[]): Promise<void> {
    const path = this.pathOf(run);
    await mkdir(dirname(path), { recursive: true });
    const numBytes = (await stat(path).catch(() => null))?.size ?? 0;
    if (numBytes > this.maxBytes) await this.roll(path);
    await appendFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''), { mode: 0o600 });
  }

  private async roll(path: string): Promise<void> {
    const before = `${path}.1`;
    const numGone = (await numLines(`${path}.gone`)) + (await linesIn(before)).length;
    await appendFile(`${path}.gone`, `${numGone}\n`);
    await rename(path, before);
  }

  private async linesOf(run: string): Promise<{ readonly numGone: number; readonly lines: readonly LogLine[] }> {
    const path = this.pathOf(run);
    const numGone = await numLines(`${path}.gone`);
    return { numGone, lines: [...(await linesIn(`${path}.1`)), ...(await linesIn(path))] };
  }

  private pathOf(run: string): string {
    return join(this.folder, run.replace(/[^A-Za-z0-9_-]/g, '_'), 'log.jsonl');
  }
}

async function linesIn(path: string): Promise<readonly LogLine[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .map((line) => jsonOrUndefined(line) as LogLine | undefined)
    .filter((line) => line !== undefined);
}

/** The last number in the file: of lines that aren't kept any more. */
async function numLines(path: string): Promise<number> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return Number(text.trim().split('\n').at(-1)) || 0;
}
