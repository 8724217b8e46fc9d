/**
 * Files of a run within what its process prints, for a runner that sees the log and not the folder: each is packed and cut into lines that begin with a mark which nobody else knows.
 * Why: docs/decisions/experiments.md#a-result-comes-home-in-a-log
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import * as z from 'zod';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import type { RunTimes } from '../base/run.js';
import { RUN_FILES } from './run_folder.js';

/** Of a line; systems that keep logs cut longer ones. */
const LINE_CHARS = 4000;
/** Of all files of a run, packed and unpacked. */
const MAX_PACKED_CHARS = 64 * 2 ** 20;
const MAX_BYTES = 256 * 2 ** 20;

/** Lines of a file, each with its end. */
export function fileLines(name: string, content: Uint8Array, mark: string): readonly string[] {
  const text = gzipSync(content).toString('base64');
  const digest = createHash('sha256').update(content).digest('hex').slice(0, 16);
  const total = Math.ceil(text.length / LINE_CHARS);
  return Array.from({ length: total }, (_, i) => {
    const part = text.slice(i * LINE_CHARS, (i + 1) * LINE_CHARS);
    return `${markOf(mark)}${name} ${digest} ${i} ${total} ${part}\n`;
  });
}

/** What a run left, as lines, and how long it took. */
export async function printedRun(folder: string, times: RunTimes, mark: string): Promise<string> {
  const each = [RUN_FILES.result, RUN_FILES.error].map(async (name) => {
    const content = await readFile(join(folder, name)).catch(() => null);
    return content === null ? [] : fileLines(name, content, mark);
  });
  const own = fileLines(TIMES_FILE, Buffer.from(JSON.stringify(times)), mark);
  return [...(await Promise.all(each)).flat(), ...own].join('');
}

/** Of lines: when the run's process ran. No file of the folder. */
export const TIMES_FILE = 'times.json';

const TIMES = z.object({ startedAt: z.iso.datetime(), durationMs: z.number().min(0) });

/** What {@link TIMES_FILE} says; null where it says nothing. */
export function timesIn(content: Buffer | null): RunTimes | null {
  const { data } = TIMES.safeParse(content === null ? null : jsonOrUndefined(content.toString()));
  return data === undefined ? null : { startedAt: new Date(data.startedAt), durationMs: data.durationMs };
}

const markOf = (mark: string): string => `::expertwire ${mark} `;

interface Parts {
  readonly digest: string;
  readonly parts: Map<number, string>;
  readonly total: number;
}

/** Takes a log apart: what is the log, and which files are in it. Lines may come twice. */
export class PrintedLog {
  private readonly files = new Map<string, Parts>();
  private numChars = 0;

  constructor(private readonly mark: string) {}

  /** What of a line (without its end) belongs to the log; null: nothing. */
  take(line: string): string | null {
    const mark = markOf(this.mark);
    const at = line.indexOf(mark);
    if (at < 0) return line;
    const [name = '', digest = '', index = '', total = '', part = ''] = line.slice(at + mark.length).split(' ');
    this.add(name, { digest, index: Number(index), total: Number(total), part });
    return at === 0 ? null : line.slice(0, at); // the program's last line had no end
  }

  /** The file as it was; null: it isn't there, or not all of it. */
  file(name: string): Buffer | null {
    const found = this.files.get(name);
    if (found?.parts.size !== found?.total || found === undefined) return null;
    const text = Array.from({ length: found.total }, (_, i) => found.parts.get(i) ?? '').join('');
    const content = unpacked(text);
    if (content === null) return null;
    return createHash('sha256').update(content).digest('hex').startsWith(found.digest) ? content : null;
  }

  private add(name: string, { digest, index, total, part }: Part): void {
    if (!Number.isInteger(index) || !Number.isInteger(total) || index < 0 || index >= total) return;
    const found = this.files.get(name);
    const file =
      found?.digest === digest && found.total === total ? found : { digest, parts: new Map<number, string>(), total };
    this.files.set(name, file);
    if (file.parts.has(index) || this.numChars + part.length > MAX_PACKED_CHARS) return;
    this.numChars += part.length;
    file.parts.set(index, part);
  }
}

interface Part {
  readonly digest: string;
  readonly index: number;
  readonly total: number;
  readonly part: string;
}

function unpacked(text: string): Buffer | null {
  try {
    return gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: MAX_BYTES });
  } catch {
    return null;
  }
}
