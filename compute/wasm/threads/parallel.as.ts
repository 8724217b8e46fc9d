/**
 * Fork and join: the calling thread publishes a region, some work in numbered chunks, in words that all instances on this memory share, and takes chunks of it until
 * none is left; threads that help it do the same. Which thread takes which chunk is chance, so a chunk must depend on its number alone.
 * Why: docs/decisions/threads.md#chunks-are-claimed
 */
/** Tells up to `numHelpers` threads that a region of this memory waits (crew.ts). */
declare function ring(numHelpers: i32): void;

/** Throws what befell the threads that help, if anything did (crew.ts). */
declare function checkHelpers(numTimeouts: i32): void;

/** The words of a region. Of each line of the cache one thread or all write. */
const regionAt: usize = memory.data(256, 64);
/** u64: number of the region · 2³² + chunks that nobody took. Whoever takes one off it by a compare-and-swap of the whole word owns the chunk of that number. */
const CLAIM: usize = 0;
/** i32: chunks that are done, and whether the caller sleeps until all are. */
const DONE: usize = 64;
const SLEEPS: usize = 68;
/** What a chunk is; these change only while no chunk is left. */
const FUNCTION: usize = 128;
const ARGS: usize = 132;
const NUM_CHUNKS: usize = 136;

const CHUNKS_PER_THREAD: i32 = 8;

/** Rows of hidden states that are normed, moved or added up in one chunk. */
export const CHUNK_ROWS: i32 = 16;

/** Looks at the chunks that others do before the caller sleeps: as long as a small chunk takes. */
const LOOKS: i32 = 20_000;
const LOOK_AGAIN_NS: i64 = 1_000_000_000;

/** Threads that compute a call, the calling one included. */
let numThreads: i32 = 1;
/** Number of this instance among them: 0 for the one that calls. */
let slot: i32 = 0;
/** In a chunk, or while other threads are busy with another call: work is not divided. */
let isAlone: bool = false;
/** Work that is worth a region; a third of it is worth a chunk. */
let regionNs: i64 = 0;

/** Who this instance is. Before its first call of a kernel. */
export function joinCrew(threads: i32, place: i32, worthNs: i32): void {
  numThreads = threads;
  slot = place;
  regionNs = worthNs;
}

/** Whether this instance does all by itself from now on. */
export function workAlone(alone: bool): void {
  isAlone = alone;
}

/** Areas of scratch memory that a kernel needs whose chunks need scratch memory. */
export function numSlots(): i32 {
  return numThreads;
}

/** Which of them is the calling thread's. */
export function ownSlot(): usize {
  return <usize>slot;
}

/** Whether {@link parallel} would divide work. */
export function isParallel(): bool {
  return numThreads > 1 && !isAlone;
}

/**
 * How many chunks to make of work that takes about so many nanoseconds of one thread, `limit` at most; 1: it isn't worth a region. Several per thread, so that one
 * that comes late, or is held up, costs little.
 */
export function chunksFor(workNs: i64, limit: i32): i32 {
  if (!isParallel() || workNs < regionNs) return 1;
  const most = min(limit, CHUNKS_PER_THREAD * numThreads);
  return <i32>max<i64>(1, min<i64>(most, (3 * workNs) / max<i64>(1, regionNs)));
}

/** {@link parallel} over rows of `width` floats, CHUNK_ROWS to a chunk, for what goes once over each. */
export function parallelRows(chunk: (args: usize, index: i32) => void, numRows: i32, width: i32, args: usize): void {
  const numChunks = (numRows + CHUNK_ROWS - 1) / CHUNK_ROWS;
  if ((<i64>numRows * <i64>width) >> 2 >= regionNs) return parallel(chunk, numChunks, args);
  for (let i = 0; i < numChunks; i++) chunk(args, i);
}

/** Calls `chunk(args, i)` for i = 0 … numChunks − 1, in any order, several at once. Within a chunk: one after the other. */
export function parallel(chunk: (args: usize, index: i32) => void, numChunks: i32, args: usize): void {
  if (numChunks < 2 || !isParallel()) {
    for (let i = 0; i < numChunks; i++) chunk(args, i);
    return;
  }
  store<u32>(regionAt, chunk.index, FUNCTION);
  store<usize>(regionAt, args, ARGS);
  store<i32>(regionAt, numChunks, NUM_CHUNKS);
  atomic.store<i32>(regionAt, 0, DONE);
  atomic.store<i32>(regionAt, 0, SLEEPS);
  const number = (atomic.load<u64>(regionAt, CLAIM) >> 32) + 1;
  atomic.store<u64>(regionAt, (number << 32) | (<u64>numChunks), CLAIM);
  ring(min(numThreads, numChunks) - 1);
  takeChunks();
  join(numChunks);
}

/** Takes chunks of the region of this memory until none is left; returns how many. A thread that comes late finds none. */
export function takeChunks(): i32 {
  let taken = 0;
  isAlone = true;
  while (true) {
    const claim = atomic.load<u64>(regionAt, CLAIM);
    const left = <i32>claim;
    if (left == 0) break;
    const chunk = load<u32>(regionAt, FUNCTION);
    const args = load<usize>(regionAt, ARGS);
    const numChunks = load<i32>(regionAt, NUM_CHUNKS);
    if (atomic.cmpxchg<u64>(regionAt, claim, claim - 1, CLAIM) != claim) continue;
    call_indirect<void>(chunk, args, numChunks - left);
    taken++;
    const numDone = atomic.add<i32>(regionAt, 1, DONE) + 1;
    if (numDone == numChunks && atomic.load<i32>(regionAt, SLEEPS) != 0) atomic.notify(regionAt + DONE, 1);
  }
  isAlone = false;
  return taken;
}

/** Ends a wait of {@link join}: a helper failed. */
export function wakeCaller(): void {
  atomic.notify(regionAt + DONE, 1);
}

/** Until all chunks are done. */
function join(numChunks: i32): void {
  for (let i = 0; i < LOOKS; i++) if (atomic.load<i32>(regionAt, DONE) == numChunks) return;
  atomic.store<i32>(regionAt, 1, SLEEPS);
  let numTimeouts = 0;
  let numDone = atomic.load<i32>(regionAt, DONE);
  while (numDone != numChunks) {
    const isLate = atomic.wait<i32>(regionAt + DONE, numDone, LOOK_AGAIN_NS) == 2;
    numTimeouts = isLate ? numTimeouts + 1 : 0;
    checkHelpers(numTimeouts);
    numDone = atomic.load<i32>(regionAt, DONE);
  }
}
