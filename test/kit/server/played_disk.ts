/** A disk that plays how much room it has. */
import { JournalDisk, type FileInstead } from '../../../lib/server/journal/journal_disk.js';

/** A disk with so much room; bytes come in pieces. */
export class PlayedDisk {
  /** What stands in the place of the file. */
  content = '';
  roomBytes = Infinity;
  numWrites = 0;
  readonly told: (string | null)[] = [];

  readonly openInstead = (): Promise<FileInstead> => {
    let bytes = Buffer.alloc(0);
    let isThere = false;
    const show = (): void => {
      if (isThere) this.content = bytes.toString();
    };
    const file = {
      write: (from: Uint8Array, offset: number, length: number, position: number) => {
        this.numWrites++;
        const bytesWritten = Math.min(5, length, Math.max(0, this.roomBytes - position));
        if (bytesWritten === 0) return Promise.reject(new Error('ENOSPC: no space left on device, write'));
        bytes = Buffer.concat([bytes.subarray(0, position), from.subarray(offset, offset + bytesWritten)]);
        show();
        return Promise.resolve({ bytesWritten, buffer: from });
      },
      truncate: (length: number) => {
        bytes = bytes.subarray(0, length);
        show();
        return Promise.resolve();
      },
      datasync: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
    const replace = (): Promise<void> => {
      isThere = true;
      show();
      return Promise.resolve();
    };
    return Promise.resolve({ file: file as unknown as FileInstead['file'], replace });
  };

  open(text = ''): Promise<JournalDisk> {
    return JournalDisk.begin(this.openInstead, text, (failure) =>
      this.told.push(failure === null ? null : (failure as Error).message),
    );
  }
}
