/** The rows of one batch while it runs: each is on the disk before its line counts as done. Why: docs/decisions/batches.md#a-row-is-written-once */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { GrowingFile } from '../../../base/growing_file.js';
import { RowTally, type Row } from '../../batches/rows.js';
import { textLines } from '../../batches/text_lines.js';

/** Where they grow. */
export interface RowPaths {
  readonly output: string;
  readonly errors: string;
}

/** Has work done that a full disk holds up, again and again until it can be. */
export type Persevering = (work: () => Promise<void>) => Promise<void>;

/** Both files of a batch. */
export class RowFiles {
  /** Those that the disk is given next. */
  private waiting: { readonly rows: Row[]; readonly written: Promise<void> } | null = null;
  private last: Promise<void> = Promise.resolve();

  private constructor(
    /** Of all rows so far, those of an earlier server too. */
    readonly tally: RowTally,
    private readonly output: GrowingFile,
    private readonly errors: GrowingFile,
    private readonly persevere: Persevering,
  ) {}

  /** Goes on behind the last whole row of each. @throws what the file system throws */
  static async open({ output, errors }: RowPaths, persevere: Persevering): Promise<RowFiles> {
    const tally = new RowTally();
    const outputFile = await openRows(output, (text) => tally.add(text, true));
    const errorFile = await openRows(errors, (text) => tally.add(text, false));
    return new RowFiles(tally, outputFile, errorFile, persevere);
  }

  /** Those of lines that have none yet; what comes while the disk works is written at once. @throws what `persevere` does */
  write(rows: readonly Row[]): Promise<void> {
    if (this.waiting !== null) {
      this.waiting.rows.push(...rows);
      return this.waiting.written;
    }
    const group = [...rows];
    const written = this.last.then(() => {
      this.waiting = null;
      return this.append(group);
    });
    this.waiting = { rows: group, written };
    this.last = written.catch(() => undefined);
    return written;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.last;
    await this.output.close();
    await this.errors.close();
  }

  private async append(rows: readonly Row[]): Promise<void> {
    const fresh = rows.filter(({ customId }) => !this.tally.customIds.has(customId));
    for (const isSuccess of [true, false]) {
      const texts = fresh.filter((row) => row.isSuccess === isSuccess).map(({ text }) => text);
      if (texts.length === 0) continue;
      const file = isSuccess ? this.output : this.errors;
      await this.persevere(() => file.append(texts.join('')));
      for (const text of texts) this.tally.add(text, isSuccess);
    }
  }
}

/** What stands behind the last line's end was torn when its server died. */
async function openRows(path: string, take: (text: string) => void): Promise<GrowingFile> {
  const file = await open(path, 'a', 0o600);
  try {
    await file.truncate(await wholeBytes(path));
  } finally {
    await file.close();
  }
  for await (const { text } of textLines(createReadStream(path), Infinity)) take(text!);
  return GrowingFile.open(path);
}

async function wholeBytes(path: string): Promise<number> {
  let numBytes = 0;
  let numWhole = 0;
  for await (const chunk of createReadStream(path)) {
    const bytes = chunk as Buffer;
    const end = bytes.lastIndexOf(0x0a);
    if (end >= 0) numWhole = numBytes + end + 1;
    numBytes += bytes.length;
  }
  return numWhole;
}
