/** Where a server's head was, for the next one: a file in the user's cache, for its owner alone, because the job's secret is in it. */
import { createHash } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { causeText, jsonOrUndefined } from '../../../base/foreign_text.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { userCache } from '../../config/user_cache.js';
import type { HeadPlace } from '../engine/with_engine.js';
import { UsageError } from '../base/context.js';

const PLACE = z.object({ host: z.string(), port: z.int().min(1).max(65535), secret: z.string().min(1) });

/** The file of one server: of a model, and of where clients find it. */
export class JobFile {
  private constructor(private readonly path: string) {}

  /** Null: this user has no cache. */
  static of({ model, server: { host, port } }: ExpertwireConfig): JobFile | null {
    const folder = userCache('jobs');
    const name = createHash('sha256')
      .update(JSON.stringify([model, host, port]))
      .digest('hex')
      .slice(0, 16);
    return folder === null ? null : new JobFile(join(folder, `${name}.json`));
  }

  /** @throws UsageError where no head left anything */
  async read(): Promise<HeadPlace> {
    const text = await readFile(this.path, 'utf8').catch((cause: unknown) => {
      const what = `--resume finds no job (${causeText(cause)})`;
      throw new UsageError(
        `${what}: no head of this model and port had parallel.head_grace_ms and died; start without it`,
      );
    });
    const place = PLACE.safeParse(jsonOrUndefined(text));
    if (place.success) return place.data;
    throw new UsageError(`--resume can't read ${this.path}; start without it, which writes it anew`);
  }

  /** Whole, or not at all. @throws what the file system throws */
  async write(place: HeadPlace): Promise<void> {
    const beside = `${this.path}.next`;
    await rm(beside, { force: true });
    await writeFile(beside, `${JSON.stringify(place)}\n`, { mode: 0o600, flag: 'wx' });
    await rename(beside, this.path);
  }

  /** There is nothing to go on with. */
  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }
}
