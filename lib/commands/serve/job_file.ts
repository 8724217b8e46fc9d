/**
 * Where a server's head was, for the next one: a file in the user's cache, for its owner alone, because the job's secret is in it. Each head has its own, with its
 * process in the name, so that servers that find ports of their own (--port 0) don't take each other's. Why: docs/decisions/elastic.md#a-head-is-one-of-several-in-a-row
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { causeText, jsonOrUndefined } from '../../../base/foreign_text.js';
import { isRunning, ownerOf, ownerText, thisOwner, type Owner } from '../../../base/process_owner.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { userCache } from '../../config/user_cache.js';
import type { HeadPlace } from '../engine/with_engine.js';
import { UsageError } from '../base/context.js';

const PLACE = z.object({ host: z.string(), port: z.int().min(1).max(65535), secret: z.string().min(1) });

/** The file of one head, among those of servers of the same model at the same address. */
export class JobFile {
  /** The one that {@link read} found. */
  private before: string | null = null;
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly folder: string,
    /** Of this server, and of earlier ones like it. */
    private readonly server: string,
    private readonly own: string,
  ) {}

  /** Null: this user has no cache. `folder`: default there. */
  static async of(
    { model, server: { host, port } }: Pick<ExpertwireConfig, 'model' | 'server'>,
    folder: string | null = userCache('jobs'),
  ): Promise<JobFile | null> {
    if (folder === null) return null;
    const server = createHash('sha256')
      .update(JSON.stringify([model, host, port]))
      .digest('hex')
      .slice(0, 16);
    return new JobFile(folder, server, `${server}.${ownerText(await thisOwner())}${JSON_END}`);
  }

  /** Where the last head was that died. @throws UsageError where none left anything */
  async read(): Promise<HeadPlace> {
    const [last] = await this.left();
    if (last === undefined) {
      const whose = 'no head of this model and port had parallel.head_grace_ms and died';
      throw new UsageError(`--resume finds no job: ${whose}; start without it`);
    }
    const path = join(this.folder, last);
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      throw new UsageError(`--resume can't read ${path} (${causeText(cause)}); start without it`);
    });
    const place = PLACE.safeParse(jsonOrUndefined(text));
    this.before = last;
    if (place.success) return place.data;
    throw new UsageError(`--resume can't read ${path}; delete it, or start without --resume`);
  }

  /** Whole, or not at all. It takes the place of the one that was read, or else of all that heads like this one left when they died. @throws what the file system throws */
  write(place: HeadPlace): Promise<void> {
    const work = this.replace(place);
    this.writing = work.catch(() => undefined);
    return work;
  }

  /** There is nothing to go on with. Idempotent. */
  async remove(): Promise<void> {
    await this.writing;
    await rm(join(this.folder, this.own), { force: true });
  }

  private async replace(place: HeadPlace): Promise<void> {
    const path = join(this.folder, this.own);
    const beside = `${path}.next`;
    await rm(beside, { force: true });
    await writeFile(beside, `${JSON.stringify(place)}\n`, { mode: 0o600, flag: 'wx' });
    await rename(beside, path);
    const over = this.before === null ? await this.left() : [this.before];
    for (const name of over) await rm(join(this.folder, name), { force: true });
  }

  /** Files of heads of this machine that run no more, the latest first. */
  private async left(): Promise<readonly string[]> {
    const found: { readonly name: string; readonly atMs: number }[] = [];
    for (const name of await readdir(this.folder)) {
      const owner = this.ownerOf(name);
      if (owner === null || (await isRunning(owner)) !== false) continue;
      const { mtimeMs: atMs } = await stat(join(this.folder, name)).catch(() => ({ mtimeMs: 0 }));
      found.push({ name, atMs });
    }
    return found.sort((a, b) => b.atMs - a.atMs).map(({ name }) => name);
  }

  /** The head that wrote a file; null: it isn't one of a server like this. */
  private ownerOf(name: string): Owner | null {
    const begin = `${this.server}.`;
    return name.startsWith(begin) && name.endsWith(JSON_END)
      ? ownerOf(name.slice(begin.length, -JSON_END.length))
      : null;
  }
}

const JSON_END = '.json';
