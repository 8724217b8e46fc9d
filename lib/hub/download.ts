/** One file from a hub into its cache: goes on where an earlier pull stopped, and checks what came. */
import { setTimeout as delay } from 'node:timers/promises';
import { rm } from 'node:fs/promises';
import { printable } from '../../base/foreign_text.js';
import type { Owner } from '../../base/process_owner.js';
import type { BlobStore } from './blob_store.js';
import { HubError } from './errors.js';
import { pause, rootText, type HubTalk } from './hub_fetch.js';
import type { HubRepository, RemoteFile } from './hub_repository.js';
import { PartialFile } from './partial_file.js';
import { isSystemError } from '../../base/system_error.js';

/** Where files come from, where they go, and who is told. */
export interface DownloadContext {
  readonly talk: HubTalk;
  readonly repository: HubRepository;
  readonly store: BlobStore;
  readonly commit: string;
  /** Told of bytes that are there, now or from earlier; negative where they turned out wrong. */
  readonly onBytes: (numBytes: number) => void;
  /** Told of bytes that came over the network. */
  readonly onFetched: (numBytes: number) => void;
  /** Told once of a file that another process fetches. */
  readonly onWaiting: (file: RemoteFile, owner: Owner) => void;
}

/** In a row, without any byte. */
const MAX_FAILURES = 5;
const LOOK_AGAIN_MS = 200;

/** Brings a file into the cache and the snapshot of its commit, if it isn't there. @throws HubError; the signal's reason */
export async function download(file: RemoteFile, context: DownloadContext): Promise<void> {
  const { store, commit, onBytes } = context;
  const path = await claimed(file, context);
  if (path === null) onBytes(file.size);
  else await fetchTo(path, file, context);
  await store.link(commit, file);
}

/** Where this process fetches a file to, after others that were at it; null: it is there. */
async function claimed(file: RemoteFile, { store, commit, talk, onWaiting }: DownloadContext): Promise<string | null> {
  for (let isTold = false; ;) {
    if (await store.has(commit, file)) return null;
    const claim = await store.claim(file);
    if (claim.kind === 'own') return claim.path;
    if (!isTold) onWaiting(file, claim.by);
    isTold = true;
    const afterMs = LOOK_AGAIN_MS * (0.5 + Math.random()); // two that gave way to each other don't meet again
    await delay(afterMs, undefined, { signal: talk.signal }).catch(() => undefined);
    talk.signal.throwIfAborted();
  }
}

async function fetchTo(path: string, file: RemoteFile, context: DownloadContext): Promise<void> {
  const { store } = context;
  try {
    const partial = await PartialFile.open(path, file);
    try {
      await fill(partial, file, context);
    } finally {
      await partial.close();
    }
  } catch (error) {
    await (isWorthless(error) ? rm(path, { force: true }) : store.keep(file, path)).catch(() => undefined);
    throw error;
  }
  await store.finish(file, path);
}

/** Whether what came of a file helps nobody: it is wrong, or holds a disk full. */
const isWorthless = (error: unknown): boolean =>
  error instanceof HubError ? error.code === 'WRONG_BYTES' : isSystemError(error) && FULL.has(error.code ?? '');

/** What is there already may be damaged: then it is fetched from the beginning, once. */
async function fill(partial: PartialFile, file: RemoteFile, context: DownloadContext): Promise<void> {
  let isFresh = partial.numBytes === 0;
  context.onBytes(partial.numBytes);
  for (;;) {
    await fetchAll(partial, file, context);
    const digest = partial.digest();
    if (digest === file.hash.hex) return;
    if (isFresh)
      throw wrongBytes(
        file,
        context,
        `have the ${file.hash.kind === 'git' ? 'Git hash' : 'SHA-256'} ${digest} instead of ${file.hash.hex}`,
      );
    isFresh = true;
    await startOver(partial, context);
  }
}

/** Goes on after each break, as long as something comes. */
async function fetchAll(partial: PartialFile, file: RemoteFile, context: DownloadContext): Promise<void> {
  const { talk } = context;
  if (partial.numBytes > file.size) await startOver(partial, context);
  for (let numFailures = 0; partial.numBytes < file.size;) {
    const before = partial.numBytes;
    const broken = await fetchSome(partial, file, context);
    if (broken === null) continue;
    numFailures = partial.numBytes > before ? 1 : numFailures + 1;
    if (numFailures > MAX_FAILURES) throw brokenOff(file, context, partial.numBytes, broken.cause);
    await pause(talk, numFailures - 1);
  }
  await partial.flush();
}

/** As much as one answer brings; null where it brought all. @throws HubError; what the file system throws; the signal's reason */
async function fetchSome(
  partial: PartialFile,
  file: RemoteFile,
  context: DownloadContext,
): Promise<{ readonly cause: unknown } | null> {
  const { talk, repository, commit, onBytes, onFetched } = context;
  const silence = new AbortController();
  const what = new Error(`no bytes for ${talk.timeoutMs / 1000} s`);
  const timer = setTimeout(() => silence.abort(what), talk.timeoutMs);
  try {
    const ending = AbortSignal.any([talk.signal, silence.signal]);
    const { offset, bytes } = await repository.read(commit, file, partial.numBytes, ending);
    if (offset !== partial.numBytes) await startOver(partial, context);
    for await (const piece of bytes) {
      if (partial.numBytes + piece.length > file.size) throw wrongBytes(file, context, 'are more than that');
      await partial.append(piece);
      onBytes(piece.length);
      onFetched(piece.length);
      timer.refresh();
    }
    return partial.numBytes < file.size ? { cause: new Error('the answer ended early') } : null;
  } catch (cause) {
    talk.signal.throwIfAborted();
    const isBreak = cause instanceof HubError && cause.code === 'UNREACHABLE';
    if ((cause instanceof HubError && !isBreak) || isSystemError(cause)) throw cause;
    return { cause: silence.signal.aborted ? what : cause };
  } finally {
    clearTimeout(timer);
  }
}

async function startOver(partial: PartialFile, { onBytes }: DownloadContext): Promise<void> {
  onBytes(-partial.numBytes);
  await partial.restart();
}

function wrongBytes({ path, size }: RemoteFile, { talk, commit }: DownloadContext, what: string): HubError {
  const announced = `${printable(path)} of ${talk.repo} at ${commit}, ${size} bytes by ${talk.endpoint}'s list, came with bytes that ${what}`;
  return new HubError(
    'WRONG_BYTES',
    `${announced}; pull again, and if it happens again, tell whoever runs the hub or the proxy before it`,
  );
}

function brokenOff({ path, size }: RemoteFile, { talk }: DownloadContext, numBytes: number, cause: unknown): HubError {
  const what = `${printable(path)} of ${talk.repo} broke off ${MAX_FAILURES + 1} times after ${numBytes} of ${size} bytes (${rootText(cause)})`;
  return new HubError('UNREACHABLE', `${what}; pull again later: it goes on where it stopped`, { cause });
}

/** The disk, or the user's share of it, is full: what came of the file would only hold it full. */
export const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);
