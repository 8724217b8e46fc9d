/**
 * Records as files: a folder per token of the key, and the last one with `.json`; the first line is the revision. One process owns all of them and may change any; others make new ones,
 * and write those that belong to nobody (jobs), the last one wins.
 */
import { existsSync } from 'node:fs';
import { link, mkdir, readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { randomUUID } from 'node:crypto';
import { isSystemError } from '../../../base/system_error.js';
import { writeWhole } from '../../../base/whole_file.js';
import { JobError } from '../base/errors.js';
import type { JobRecord } from '../base/job_bus.js';

/** Of one token. */
const TOKEN = /^[A-Za-z0-9_-]+$/;
const END = '.json';
/** Files at a time: a process may have only so many open. */
const MAX_OPEN = 64;

/** The files in a folder. */
export class RecordFiles {
  constructor(private readonly folder: string) {}

  /** Null: there is none. @throws JobError BROKEN_RECORD */
  async read(key: string): Promise<JobRecord | null> {
    const path = this.pathOf(key);
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (isMissing(error)) return null;
      throw error;
    });
    if (text === null) return null;
    const end = text.indexOf('\n');
    const revision = Number(text.slice(0, end));
    if (end > 0 && Number.isInteger(revision) && revision > 0) return { key, text: text.slice(end + 1), revision };
    throw new JobError('BROKEN_RECORD', `${path} holds no record; remove it, and apply the job again`);
  }

  /** Where nobody made it meanwhile (`isNew`), or over what is there. False: somebody did. @throws what the file system throws */
  async write({ key, text, revision }: JobRecord, isNew: boolean): Promise<boolean> {
    const path = this.pathOf(key);
    const content = `${revision}\n${text}`;
    if (isNew) return this.create(path, content);
    await writeWhole(path, content);
    return true;
  }

  private async create(path: string, content: string): Promise<boolean> {
    await mkdir(dirname(path), { recursive: true });
    const beside = `${path}.${randomUUID()}`;
    await writeWhole(beside, content);
    try {
      await link(beside, path);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    } finally {
      await rm(beside, { force: true });
    }
  }

  /** With the folders that are empty then. */
  async remove(key: string): Promise<void> {
    const path = this.pathOf(key);
    await rm(path, { force: true });
    for (let folder = dirname(path); folder !== this.folder; folder = dirname(folder)) {
      const isGone = await rmdir(folder).then(
        () => true,
        () => false,
      );
      if (!isGone) return;
    }
  }

  /** Of all whose keys begin with these tokens. */
  async keys(prefix: string): Promise<readonly string[]> {
    const top = prefix === '' ? this.folder : join(this.folder, ...prefix.split('.'));
    const own = await readdir(top, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const files = own
      .filter((entry) => entry.isFile() && entry.name.endsWith(END))
      .map((entry) => join(entry.parentPath, entry.name));
    const below = files.map((file) => relative(this.folder, file).slice(0, -END.length).split(sep).join('.'));
    return prefix !== '' && existsSync(`${top}${END}`) ? [prefix, ...below] : below;
  }

  /** All of them. */
  async list(prefix: string): Promise<readonly JobRecord[]> {
    const keys = await this.keys(prefix);
    const found: (JobRecord | null)[] = [];
    for (let i = 0; i < keys.length; i += MAX_OPEN)
      found.push(...(await Promise.all(keys.slice(i, i + MAX_OPEN).map((key) => this.read(key)))));
    return found.filter((record) => record !== null);
  }

  private pathOf(key: string): string {
    const tokens = key.split('.');
    if (tokens.every((token) => TOKEN.test(token))) return `${join(this.folder, ...tokens)}${END}`;
    throw new JobError('BROKEN_RECORD', `${JSON.stringify(key)} is no key of a record; use letters, digits, - and _`);
  }
}

const codeOf = (error: unknown): string => (isSystemError(error) ? (error.code ?? '') : '');

/** Not there, or it went meanwhile. */
const isMissing = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(codeOf(error));
