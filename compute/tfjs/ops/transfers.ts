/** Values that went between the program and the memory of the backend: on a GPU each time over its bus, elsewhere a copy in memory or none. */
export interface Transfers {
  readonly numUploads: number;
  readonly uploadedBytes: number;
  readonly numDownloads: number;
  readonly downloadedBytes: number;
}

/** Of this process, since it began. */
const counts = { numUploads: 0, uploadedBytes: 0, numDownloads: 0, downloadedBytes: 0 };

/** Counts one way of values into a backend's memory. */
export function countUpload(numBytes: number): void {
  counts.numUploads++;
  counts.uploadedBytes += numBytes;
}

/** Counts one way of values out of a backend's memory. */
export function countDownload(numBytes: number): void {
  counts.numDownloads++;
  counts.downloadedBytes += numBytes;
}

/** All since this process began. */
export const tensorTransfers = (): Transfers => ({ ...counts });
