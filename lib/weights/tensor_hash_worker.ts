/** A thread that hashes tensors; started by tensor_hashes.ts. It takes the next tensor that no thread took, until none is left. */
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

/** Where a tensor lies: in a file that the process has open. */
export interface TensorPlace {
  readonly fd: number;
  readonly begin: number;
  readonly end: number;
}

/** What a thread is started with. */
export interface HashWorkerData {
  readonly tensors: readonly TensorPlace[];
  /** How many of them threads took. */
  readonly taken: Int32Array<SharedArrayBuffer>;
}

/** Of the tensor of that index. What failed is the last that a thread tells. */
export type HashNews =
  | { readonly kind: 'hash'; readonly index: number; readonly hash: string }
  | { readonly kind: 'truncated'; readonly index: number; readonly reached: number }
  | { readonly kind: 'failed'; readonly index: number; readonly message: string };

const { tensors, taken } = workerData as HashWorkerData;
const piece = new Uint8Array(2 ** 20);

function newsOf(index: number, { fd, begin, end }: TensorPlace): HashNews {
  const hash = createHash('sha256');
  for (let at = begin; at < end;) {
    const numRead = readSync(fd, piece, 0, Math.min(piece.length, end - at), at);
    if (numRead === 0) return { kind: 'truncated', index, reached: at };
    hash.update(piece.subarray(0, numRead));
    at += numRead;
  }
  return { kind: 'hash', index, hash: hash.digest('hex') };
}

function tell(index: number, tensor: TensorPlace): boolean {
  let news: HashNews;
  try {
    news = newsOf(index, tensor);
  } catch (error) {
    news = { kind: 'failed', index, message: error instanceof Error ? error.message : String(error) };
  }
  parentPort!.postMessage(news);
  return news.kind === 'hash';
}

for (let isFine = true; isFine;) {
  const index = Atomics.add(taken, 0, 1);
  const tensor = tensors[index];
  isFine = tensor !== undefined && tell(index, tensor);
}
