/** Blocks as files of a folder: FOLDER/xx/KEY.kv, xx the first two of the key's hexadecimal digits. Why: docs/decisions/kv_store.md#a-file-is-right-or-it-is-not-there */
import { join } from 'node:path';
import { BLOCK_FILE_HEADER_BYTES, type KvStorePlan } from '../../protocol/kv_store_plan.js';
import { blockOfFile, headerOf, type StoredBlock } from './block_file.js';
import type { BlockFiles, FoundFile } from './block_files.js';
import type { DiskCalls } from './disk_calls.js';

/** Where files are, and how long they may be. */
export interface FolderFilesParts {
  readonly folder: string;
  readonly calls: DiskCalls;
  readonly sizes: Pick<KvStorePlan, 'rowBytes' | 'stateBytes'>;
  /** Others may have the folder. */
  readonly release: () => Promise<void>;
}

/** A folder that nobody else writes. */
export class FolderFiles implements BlockFiles {
  /** Folders of files that are there. */
  private readonly made = new Set<string>();
  private readonly allowedBytes: readonly number[];

  constructor(private readonly parts: FolderFilesParts) {
    const { rowBytes, stateBytes } = parts.sizes;
    this.allowedBytes = [...new Set([rowBytes, rowBytes + stateBytes])];
  }

  /** Looks at all names, sizes and times; reads nothing. */
  async scan(): Promise<readonly FoundFile[]> {
    const { folder, calls } = this.parts;
    const parts = (await calls.namesIn(folder)).filter(isPartFolder);
    const found: LookedAt[] = [];
    for (let i = 0; i < parts.length; i += AT_ONCE) {
      const looked = await Promise.all(parts.slice(i, i + AT_ONCE).map((part) => this.lookInto(part)));
      found.push(...looked.flat());
    }
    return found.sort((a, b) => a.usedMs - b.usedMs).map(({ key, numBytes }) => ({ key, numBytes }));
  }

  /** Renamed when it is written: no file of this name was ever half. */
  async write(key: string, block: StoredBlock): Promise<void> {
    const { calls } = this.parts;
    const path = this.pathOf(key);
    await this.makeFolderOf(path);
    try {
      await calls.write(path + UNFINISHED, [headerOf(key, block), block.bytes]);
      await calls.rename(path + UNFINISHED, path);
    } catch (error) {
      this.made.clear(); // somebody may have removed it
      await calls.remove(path + UNFINISHED).catch(() => undefined); // the next scan does
      throw error;
    }
  }

  /** Whole, and checked. */
  async read(key: string): Promise<StoredBlock | null> {
    const { calls } = this.parts;
    const path = this.pathOf(key);
    const bytes = await calls.read(path, Math.max(...this.allowedBytes) + BLOCK_FILE_HEADER_BYTES).catch(() => null);
    const block = bytes === null ? null : this.allowed(blockOfFile(bytes, key));
    if (block === null) await this.remove(key);
    else await calls.touch(path).catch(() => undefined); // older than it is, after the next start
    return block;
  }

  /** What can't be removed is found again. */
  async remove(key: string): Promise<void> {
    await this.parts.calls.remove(this.pathOf(key)).catch(() => undefined);
  }

  /** Lets others have the folder. */
  close(): Promise<void> {
    return this.parts.release();
  }

  private async lookInto(part: string): Promise<LookedAt[]> {
    const { folder, calls } = this.parts;
    const names = await calls.namesIn(join(folder, part));
    const files = names.map((name) => this.look(join(folder, part, name), FILE.exec(name)?.[1] ?? null, part));
    return (await Promise.all(files)).filter((file) => file !== null);
  }

  /** Null: no block; gone where it is of ours. What can't be looked at is left alone, so that it hides nothing else. */
  private async look(path: string, hex: string | null, part: string): Promise<LookedAt | null> {
    const { calls } = this.parts;
    const isUnfinished = path.endsWith(UNFINISHED);
    const size = hex === null ? null : await calls.sizeOf(path).catch(() => null);
    const own = size === null ? null : size.numBytes - BLOCK_FILE_HEADER_BYTES;
    if (own !== null && this.allowedBytes.includes(own) && hex!.startsWith(part)) {
      return { key: Buffer.from(hex!, 'hex').toString('latin1'), numBytes: own, usedMs: size!.usedMs };
    }
    if (isUnfinished || own !== null) await calls.remove(path).catch(() => undefined);
    return null;
  }

  private allowed(block: StoredBlock | null): StoredBlock | null {
    return block !== null && this.allowedBytes.includes(block.bytes.byteLength) ? block : null;
  }

  private async makeFolderOf(path: string): Promise<void> {
    const folder = join(path, '..');
    if (this.made.has(folder)) return;
    await this.parts.calls.makeFolder(folder);
    this.made.add(folder);
  }

  private pathOf(key: string): string {
    const hex = Buffer.from(key, 'latin1').toString('hex');
    return join(this.parts.folder, hex.slice(0, 2), `${hex}.kv`);
  }
}

interface LookedAt extends FoundFile {
  readonly usedMs: number;
}

/** Whether a name is one of the folders below a rank's. */
export const isPartFolder = (name: string): boolean => PART.test(name);

/** Whether a name is that of a block's file. */
export const isBlockFile = (name: string): boolean => FILE.test(name);

const PART = /^[0-9a-f]{2}$/;
const FILE = /^([0-9a-f]{64})\.kv$/;
/** Folders that are looked into at once: one call after the other would wait for the turns of an event loop that computes. */
const AT_ONCE = 16;
/** Ends the name of a file that is being written. */
const UNFINISHED = '.part';
