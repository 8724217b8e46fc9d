/** The journal of a server: a file from which another head goes on with requests. Why: docs/decisions/elastic.md#a-journal-is-written-before-its-reader-hears */
import { constants, createReadStream } from 'node:fs';
import { access, open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { hostname } from 'node:os';
import { createInterface } from 'node:readline';
import { causeText } from '../../../base/foreign_text.js';
import { holderOf, PathLock, type OtherHolder } from '../../../base/path_lock.js';
import { ConfigError } from '../../config/errors.js';
import type { ApiError } from '../base/api_error.js';
import { JournalDisk, openBeside, type FileInstead } from './journal_disk.js';
import { deltasLine, endLine, headLine, isReadable, readLine, requestLine } from './journal_lines.js';
import { JournalHistory } from './journal_history.js';
import type { Delta } from '../openai/requests/choice_deltas.js';
import type { KeptRequest } from './kept_request.js';

/** What a journal is of, and who hears of its disk. */
export interface JournalOptions {
  readonly file: string;
  /** {@link modelDigest} of the model. */
  readonly model: string;
  /** A line for the log. */
  readonly warn: (text: string) => void;
  /** Opens the file that takes its place. Default: beside it. */
  readonly openInstead?: () => Promise<FileInstead>;
}

/** The file grows to twice what is worth keeping and so much more before it is written anew. */
const ROOM_BYTES = 16 * 2 ** 20;

/** What requests asked and what came of them, on disk before anybody hears of it. */
export class Journal {
  private constructor(
    private readonly options: JournalOptions,
    private readonly disk: JournalDisk,
    private readonly lock: PathLock,
    /** Of earlier heads, in the order in which they came; those that aren't over are to go on. */
    readonly found: readonly KeptRequest[],
  ) {}

  /** What can be told of a journal before anything is written to it. @throws ConfigError as {@link open} does */
  static async check({ file: path, model }: Pick<JournalOptions, 'file' | 'model'>): Promise<void> {
    const file = resolve(path);
    await checkFile(file, model);
    try {
      await access(dirname(file), constants.W_OK | constants.X_OK);
      const other = await holderOf(file);
      if (other !== null) throw held(file, other);
    } catch (cause) {
      throw unwritable(file, cause);
    }
  }

  /** Reads what is there, and begins a file with what is worth keeping of it. @throws ConfigError where it can't, is another model's, or another server writes it */
  static async open(options: JournalOptions): Promise<Journal> {
    const file = resolve(options.file);
    const lock = await takeLock(file, options.warn);
    try {
      const found = await read(file, options);
      const openInstead = options.openInstead ?? (() => openBeside(file));
      const onHealth = (failure: unknown): void => options.warn(failure === null ? GOES_ON : failed(file, failure));
      const disk = await JournalDisk.begin(openInstead, textOf(options.model, found), onHealth);
      return new Journal(options, disk, lock, found);
    } catch (cause) {
      await lock.release();
      throw unwritable(file, cause);
    }
  }

  /** False: it can't be written, and nobody would go on with the request. */
  begin(kept: KeptRequest): Promise<boolean> {
    return this.append(kept, requestLine(kept.record));
  }

  /** What came of a request, before its readers hear of it. Where it can't be written, another head computes it again. */
  async add(kept: KeptRequest, deltas: readonly Delta[]): Promise<void> {
    await this.append(kept, deltasLine(kept, deltas));
  }

  /** It won't be finished: nobody wants it any more, or it failed with `error`. */
  async end(kept: KeptRequest, error: ApiError | null): Promise<void> {
    await this.append(kept, endLine(kept.record.number, error));
  }

  /** Once much of the file is of requests that nobody keeps, it is written anew. `numBytes`: of what is kept, about. */
  tidy(numBytes: number, kept: () => Iterable<KeptRequest>): void {
    if (this.disk.size < 2 * numBytes + ROOM_BYTES) return;
    this.disk.rewrite(() => textOf(this.options.model, kept()));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.disk.close();
    await this.lock.release();
  }

  private append(kept: KeptRequest, line: string): Promise<boolean> {
    kept.numBytes += line.length;
    return this.disk.append(line);
  }
}

/** @throws ConfigError INVALID_VALUE */
async function takeLock(file: string, warn: JournalOptions['warn']): Promise<PathLock> {
  try {
    const lock = await PathLock.take(file, () => warn(lockLost(file)));
    if (lock instanceof PathLock) return lock;
    throw held(file, lock);
  } catch (cause) {
    throw unwritable(file, cause);
  }
}

async function read(file: string, { model, warn }: JournalOptions): Promise<readonly KeptRequest[]> {
  if (!(await checkFile(file, model))) return [];
  const history = new JournalHistory();
  let numDamaged = 0;
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Infinity });
  try {
    for await (const text of lines) {
      const line = readLine(text);
      if (line === null) numDamaged++;
      else if (line.kind !== 'journal') history.take(line, text.length);
    }
  } catch (cause) {
    throw unreadable(file, cause);
  }
  // The last one may have been written in half when its head died.
  if (numDamaged > 0) warn(`${numDamaged} lines of ${file} can't be read, and what they tell is computed again`);
  return history.requests();
}

/** False: there is nothing. @throws ConfigError INVALID_VALUE where there is something else than a journal of this model */
async function checkFile(file: string, model: string): Promise<boolean> {
  const head = await headOf(file).catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  if (head !== null) checkHead(file, readLine(head), model);
  return head !== null;
}

/** More than a first line has. */
const HEAD_BYTES = 1024;

/** The first line, or what there is of it; null: there is nothing. */
async function headOf(file: string): Promise<string | null> {
  const handle = await open(file, 'r').catch((error: unknown) => {
    if ((error as { readonly code?: string }).code === 'ENOENT') return null;
    throw error;
  });
  if (handle === null) return null;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return bytesRead === 0 ? null : buffer.toString('utf8', 0, bytesRead).split(/\r?\n/, 1)[0]!;
  } finally {
    await handle.close();
  }
}

/** What isn't a journal must not be written over. @throws ConfigError INVALID_VALUE */
function checkHead(file: string, line: ReturnType<typeof readLine>, model: string): void {
  if (line?.kind !== 'journal') throw unusable(file, 'is a file that is no journal');
  if (!isReadable(line)) throw unusable(file, `was written by another build, in version ${line.version}`);
  if (line.model !== model) throw unusable(file, 'is of another model');
}

const textOf = (model: string, kept: Iterable<KeptRequest>): string =>
  [headLine(model), ...Array.from(kept, linesOf)].join('');

/** All that there is of a request, in few lines. */
function linesOf(kept: KeptRequest): string {
  const { record, soFar, error } = kept;
  const fresh = { record, numTokensOf: () => 0 };
  return [
    requestLine(record),
    ...(soFar.length === 0 ? [] : [deltasLine(fresh, soFar)]),
    ...(error === null ? [] : [endLine(record.number, error)]),
  ].join('');
}

function unusable(file: string, why: string, cause?: unknown, instead = 'move this one away'): ConfigError {
  const text = `"server.journal" is ${file}, which ${why}; give the path of another file, or ${instead}`;
  return new ConfigError('INVALID_VALUE', text, { key: 'server.journal', cause });
}

/** Two that write would lose what one of them wrote, and both go on with the same requests. */
const held = (file: string, holder: OtherHolder): ConfigError =>
  unusable(file, heldText(holder), undefined, 'end that one');

function heldText({ owner: { pid, host }, path }: OtherHolder): string {
  if (pid === process.pid && host === hostname()) return 'another server of this process writes';
  const who = `process ${pid} on ${host} writes`;
  return host === hostname() ? who : `${who} (if it no longer runs there, delete ${path})`;
}

const unreadable = (file: string, cause: unknown): ConfigError =>
  unusable(file, `can't be read (${causeText(cause)})`, cause);

/** What was told already is told as it is. */
const unwritable = (file: string, cause: unknown): ConfigError =>
  cause instanceof ConfigError ? cause : unusable(file, `can't be written (${causeText(cause)})`, cause);

const lockLost = (file: string): string =>
  `the lock of the journal ${file} was removed: another server may write it too, and what this one writes may be lost; end one of them`;

const failed = (file: string, cause: unknown): string =>
  `the journal ${file} can't be written (${causeText(cause)}): new requests are refused, and those that run go on without it; free room on its disk`;

const GOES_ON = 'the journal can be written again: new requests are taken';
