/** Blocks on a disk, each by its key. One implementation for folders, and others in tests: test/contracts/block_files_contract.ts. */
import type { StoredBlock } from './block_file.js';

/** A block that is there. */
export interface FoundFile {
  readonly key: string;
  /** Of the block, without what a file has besides. */
  readonly numBytes: number;
}

/** Whatever happens in the middle of a call, also the end of this process: a block is there whole and right, or it isn't. Keys: a character per byte. */
export interface BlockFiles {
  /**
   * What is there, least recently used first. Called once, before anything is written: what writers that died left behind is removed.
   * @throws what the file system throws: then nobody knows what there is, and nothing is to be written
   */
  scan(): Promise<readonly FoundFile[]>;
  /**
   * Takes the place of the one that is there; one call at a time.
   * @throws what the file system throws: then it isn't there, or the one before is
   */
  write(key: string, block: StoredBlock): Promise<void>;
  /** It counts as used. Null: it isn't there; what is damaged or can't be read is removed. Never rejects. */
  read(key: string): Promise<StoredBlock | null>;
  /** Not while it is being written. Never rejects: what can't be removed is found again. */
  remove(key: string): Promise<void>;
  /** Others may have the place. Idempotent. */
  close(): Promise<void>;
}
