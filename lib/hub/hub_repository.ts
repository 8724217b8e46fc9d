/** A model's repository on a hub: its revisions, its files, and their bytes from any place on. */
import { downloadFile, fileDownloadInfo, listFiles, modelInfo } from '@huggingface/hub';
import * as z from 'zod';
import { printable } from '../../base/foreign_text.js';
import { isCommit } from './cache/model_name.js';
import { HubError } from './errors.js';
import { failed, hubFetch, type HubTalk } from './hub_fetch.js';

/** A file as the hub lists it. */
export interface RemoteFile {
  /** With slashes, from the repository's root. */
  readonly path: string;
  readonly size: number;
  /** Of its bytes: how the hub knows the content, and the name of its blob in the cache. Files that Git itself keeps have the number of Git's object. */
  readonly hash: { readonly kind: 'sha256' | 'git'; readonly hex: string };
  /** The hub keeps it in chunks, which may be fetched instead of the whole. */
  readonly isChunked: boolean;
}

/** Bytes of a file. */
export interface RemoteBytes {
  /** Where they begin: where it was asked for, or 0 where the server sends files as a whole alone. */
  readonly offset: number;
  readonly bytes: ReadableStream<Uint8Array>;
}

const hex = (length: number): z.ZodType<string> => z.string().regex(new RegExp(`^[0-9a-f]{${length}}$`));
const size = z.int().min(0);
const entrySchema = z.object({
  path: z.string().min(1),
  size,
  oid: hex(40),
  lfs: z.object({ oid: hex(64), size }).optional(),
  xetHash: z.string().optional(),
});

/** More is no model. */
const MAX_FILES = 100_000;

/** One repository. Why: docs/decisions/hub.md#the-hubs-library-asks-and-we-write */
export class HubRepository {
  constructor(private readonly talk: HubTalk) {}

  /** The commit of a branch or tag. @throws HubError as {@link hubFetch}, and HUB_FAILED */
  async commitOf(revision: string): Promise<string> {
    const { sha } = await this.asked((common) =>
      modelInfo({ ...common, name: this.talk.repo, revision, additionalFields: ['sha'] }),
    );
    if (typeof sha !== 'string' || !isCommit(sha)) throw this.odd('names no commit');
    return sha;
  }

  /** All files of a commit. @throws HubError as {@link hubFetch}, UNSAFE_PATH, HUB_FAILED */
  async files(commit: string): Promise<readonly RemoteFile[]> {
    return this.asked(async (common) => {
      const files: RemoteFile[] = [];
      const entries = listFiles({ ...common, repo: this.talk.repo, recursive: true, revision: commit });
      for await (const entry of entries) {
        if (entry.type !== 'directory') files.push(this.fileOf(entry));
        if (files.length > MAX_FILES) throw this.odd(`lists more than ${MAX_FILES} files`);
      }
      return files;
    });
  }

  /** Bytes of a file from `offset` on. The signal ends the answer too. @throws HubError as {@link hubFetch}; UNREACHABLE at the first break */
  async read(commit: string, file: RemoteFile, offset: number, signal: AbortSignal): Promise<RemoteBytes> {
    const fetch = hubFetch({ ...this.talk, signal }, false);
    if (file.isChunked && file.size > this.talk.chunksAboveBytes) {
      const chunked = await this.readChunks(commit, file, offset, fetch);
      if (chunked !== null) return chunked;
    }
    const headers = { 'Accept-Encoding': 'identity', ...(offset > 0 && { Range: `bytes=${offset}-` }) };
    const url = `${this.talk.endpoint}/${this.talk.repo}/resolve/${commit}/${urlPath(file.path)}`;
    const { status, body, headers: answer } = await fetch(url, { headers });
    const isPart = status === 206 && answer.get('Content-Range')?.startsWith(`bytes ${offset}-`) === true;
    if (isPart || status === 200) return { offset: isPart ? offset : 0, bytes: body ?? emptyStream() };
    await body?.cancel();
    if (offset > 0) return this.read(commit, file, 0, signal); // another answer to a range than the range
    throw this.odd(`answers ${status} for ${printable(file.path)}`);
  }

  /** Null where the hub offers no chunks after all. */
  private async readChunks(
    commit: string,
    { path, size: whole }: RemoteFile,
    offset: number,
    fetch: typeof globalThis.fetch,
  ): Promise<RemoteBytes | null> {
    return this.asked(async (common) => {
      const file = { ...common, fetch, repo: this.talk.repo, path: urlPath(path), revision: commit };
      const info = await fileDownloadInfo(file);
      if (info?.xet === undefined) return null;
      const blob = await downloadFile({ ...file, downloadInfo: { ...info, size: whole } });
      return blob && { offset, bytes: blob.slice(offset).stream() };
    });
  }

  /** What the library itself throws is an answer that it doesn't understand. */
  private async asked<T>(
    ask: (common: { readonly hubUrl: string; readonly fetch: typeof fetch }) => Promise<T>,
  ): Promise<T> {
    const { endpoint, signal } = this.talk;
    try {
      return await ask({ hubUrl: endpoint, fetch: hubFetch(this.talk) });
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof HubError ? error : this.odd(`gives an odd answer (${printable(String(error))})`);
    }
  }

  private fileOf(entry: unknown): RemoteFile {
    const { data, error } = entrySchema.safeParse(entry);
    if (data === undefined) throw this.odd(`lists a file without ${error.issues[0]!.path.join('.')}`);
    const { path, oid, lfs, xetHash } = data;
    if (!isSafe(path)) {
      const what = `${this.talk.repo} has a file ${printable(path)}, whose name leads out of its folder`;
      throw new HubError('UNSAFE_PATH', `${what}; ask its owner to rename it, and pull nothing of it`);
    }
    return {
      path,
      size: lfs?.size ?? data.size,
      hash: lfs === undefined ? { kind: 'git', hex: oid } : { kind: 'sha256', hex: lfs.oid },
      isChunked: lfs !== undefined && xetHash !== undefined,
    };
  }

  private odd(what: string): HubError {
    return failed(this.talk, what, 'check that HF_ENDPOINT is the address of a hub');
  }
}

const urlPath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

/** Whether a path stays below the folder that it is joined to, on any system. */
const isSafe = (path: string): boolean =>
  path.split(/[/\\]/).every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0')) &&
  !/^[a-z]:/i.test(path);

const emptyStream = (): ReadableStream<Uint8Array> => new Blob([]).stream();
