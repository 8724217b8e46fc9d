/** SHA-256 of tensors as they are on disk, by threads that read them for themselves: whoever loads the same tensors is not held up. */
import { Worker } from 'node:worker_threads';
import type { Checkpoint } from './checkpoint.js';
import { readFailed } from './model_files.js';
import { truncated } from './safetensors_file.js';
import { partName, type TensorPart } from './tensor_part.js';
import type { HashNews, HashWorkerData } from './tensor_hash_worker.js';

/** How tensors are hashed. */
export interface HashOptions {
  /** That hash at a time. Default 1. */
  readonly numThreads?: number;
  /** Ends it; the signal's reason is thrown. */
  readonly signal: AbortSignal;
}

/**
 * 64 hexadecimal digits for each part, by its name; one that is given twice is read once. No thread is left when it resolves or rejects. The checkpoint must stay open until then.
 * @throws WeightError READ_FAILED, MALFORMED_SAFETENSORS (the file is shorter than when it was opened),  */
export async function hashTensors(
  checkpoint: Checkpoint,
  given: readonly TensorPart[],
  { numThreads = 1, signal }: HashOptions,
): Promise<ReadonlyMap<string, string>> {
  signal.throwIfAborted();
  const parts = [...new Map(given.map((part) => [partName(part), part])).values()];
  const tensors = parts.map((part) => checkpoint.place(part));
  const workerData: HashWorkerData = { tensors, taken: new Int32Array(new SharedArrayBuffer(4)) };
  const hashes = new Map<string, string>();
  const workers = Array.from({ length: Math.min(numThreads, parts.length) }, (_, i) => startWorker(workerData, i));
  const ended = new AbortController();
  const all = AbortSignal.any([signal, ended.signal]);
  const take = (news: HashNews): void => {
    const part = parts[news.index]!;
    const { file, end } = part.tensor;
    if (news.kind === 'hash') hashes.set(partName(part), news.hash);
    else if (news.kind === 'truncated') ended.abort(truncated(file, news.reached, end));
    else ended.abort(readFailed(file, new Error(news.message)));
  };
  try {
    await Promise.all(workers.map((worker) => doneWith(worker, take, all)));
    return hashes;
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function startWorker(workerData: HashWorkerData, i: number): Worker {
  return new Worker(new URL('./tensor_hash_worker.js', import.meta.url), {
    ...{ workerData, name: `hash ${i}`, argv: [], env: {}, execArgv: [] },
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
  });
}

/** Until a thread ended by itself. @throws what it ended with; the signal's reason */
function doneWith(worker: Worker, onNews: (news: HashNews) => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    worker.on('message', onNews);
    worker.once('error', reject);
    worker.once('exit', () => {
      signal.removeEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
      else resolve();
    });
  });
}
