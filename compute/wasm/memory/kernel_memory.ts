/**
 * Memories of the kernel module, up to 4 GiB each, handed out in blocks. They are shared memories, whether or not there are threads to share them with.
 * Views of them must not go where those of shared memory are refused: into decoders of text and sockets. Files are read into them.
 */
import { ROOM_BYTES, type RowsMemory } from '../../../base/float_rows.js';
import { ExpertError } from '../../base/errors.js';
import { instantiate, type CrewExports } from '../threads/crew_instance.js';
import type { Crew, CrewSeat } from '../threads/crew.js';
import { FreeBlocks } from './free_blocks.js';
import { ACTIVATIONS, compileKernels, PLAIN_KERNELS, type KernelSettings } from './kernel_settings.js';

/** What kernels.as.ts exports. */
export interface Kernels {
  readonly linear: (x: number, numRows: number, weight: number, y: number, yStride: number) => void;
  readonly setTile: (rows: number) => void;
  readonly setActivations: (kind: number) => void;
  readonly pack: (
    ...args: [
      ...[sourceDtype: number, rows: number, rowBytes: number, numRows: number, count: number],
      ...[weight: number, row: number, column: number],
    ]
  ) => number;
  readonly packRows: (
    ...args: [...[dtype: number, rows: number, numRows: number, columns: number], ...[weight: number, row: number]]
  ) => number;
  readonly packInPlace: (numRows: number, weight: number, row: number, buffer: number) => void;
  readonly unpack: (
    ...args: [...[weight: number, row: number, numRows: number], ...[column: number, count: number, asFloats: number]]
  ) => void;
  readonly exp: (x: number, count: number, y: number) => void;
  readonly applyNorm: (
    ...args: [
      ...[x: number, numRows: number, width: number, xStride: number],
      ...[norm: number, y: number, yStride: number],
    ]
  ) => void;
  readonly rope: (
    ...args: [
      ...[x: number, numTokens: number, tokenStride: number, numHeads: number, headStride: number],
      ...[angles: number, dim: number, layout: number],
    ]
  ) => void;
  readonly exp64: (x: number) => number;
  readonly routeBytes: (router: number) => number;
  readonly route: (
    ...args: [
      ...[logits: number, numRows: number, stride: number, router: number],
      ...[topkIdx: number, topkWeights: number, scratch: number],
    ]
  ) => number;
  readonly routeLayer: (layer: number, x: number, numTokens: number, routed: number) => number;
  readonly argmax: (logits: number, count: number) => number;
  readonly topk: (logits: number, count: number, k: number, out: number) => void;
  readonly embed: (tokens: number, numTokens: number, matrix: number, x: number, factor: number) => void;
  readonly logitsOf: (
    ...args: [
      ...[head: number, x: number, rows: number, numRows: number, logits: number, stride: number],
      ...[scratch: number, scratchBytes: number],
    ]
  ) => number;
  readonly linearTransposed: (
    ...args: [
      ...[x: number, numRows: number, xStride: number, weight: number],
      ...[y: number, yStride: number, width: number],
    ]
  ) => void;
  readonly storeRow: (dtype: number, from: number, width: number, to: number, wordAt: number) => void;
  readonly storeNarrowRow: (from: number, width: number, to: number, byteAt: number) => void;
  readonly loadNarrowRow: (from: number, width: number, byteAt: number, to: number) => void;
  readonly loadRow: (dtype: number, from: number, width: number, wordAt: number, to: number) => void;
  readonly attendBytes: (lane: number) => number;
  readonly attend: (lane: number) => void;
  readonly ffnLayer: (layer: number, x: number, numTokens: number, scratch: number, scratchBytes: number) => number;
  readonly addExperts: (
    ...args: [x: number, y: number, shared: number, numTokens: number, hidden: number, residual: number]
  ) => void;
  readonly gateRows: (
    ...args: [
      ...[x: number, numRows: number, gate: number, logits: number],
      ...[y: number, width: number, yStride: number],
    ]
  ) => void;
  readonly gqaLayer: (layer: number, step: number) => number;
  readonly mlaLayer: (layer: number, step: number) => number;
  readonly shortConvLayer: (layer: number, step: number) => number;
  readonly deltaRuleLayer: (layer: number, step: number) => number;
  readonly ffn: (
    x: number,
    numRows: number,
    gate: number,
    up: number,
    down: number,
    scratch: number,
    y: number,
    yStride: number,
  ) => void;
  readonly experts: (
    x: number,
    groups: number,
    numGroups: number,
    rows: number,
    scratch: number,
    y: number,
    yStride: number,
  ) => void;
  readonly sumChoices: (
    y: number,
    rowOfChoice: number,
    weights: number,
    numRows: number,
    numTopk: number,
    hidden: number,
    out: number,
  ) => void;
}

interface KernelExports extends Kernels, CrewExports {
  readonly heapBase: { readonly value: number };
  readonly stagingAt: { readonly value: number };
  readonly stagingColumns: { readonly value: number };
}

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: {
  readonly Memory: new (size: { initial: number; maximum: number; shared: true }) => SharedMemory;
};

/** A WebAssembly.Memory that threads share. Its buffer is another object after it grew. */
interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
  grow(numPages: number): number;
}

type Kernel = (...args: number[]) => number;

/** What the module imports where one thread computes: it calls neither. */
const ALONE = { ring: () => undefined, checkHelpers: () => undefined };

/** A few milliseconds of a thread: handing a call over costs some 0.1 ms. */
const LONG_MULTIPLY_ADDS = 1e8;

const PAGE_BYTES = 65536;
/** Of a new memory: room for the module's static areas and for guests (scripts/wasm_modules.mjs says the same to the compiler). */
const INITIAL_PAGES = 16;
const MAX_PAGES = 65536;
/** Blocks begin at multiples of a cache line. */
const ALIGN_BYTES = 64;
/** A memory's addresses are 32 bits wide. The last page stays free, so that the end of a block is an address too. */
export const MAX_MEMORY_BYTES = 2 ** 32 - PAGE_BYTES;

/** One instance of the kernel module, and the blocks of its memory. Every call of a kernel is counted. */
export class KernelMemory implements RowsMemory {
  readonly kernels: Kernels;
  /** Where pieces of weights are staged for `pack` and by `unpack`: rows of a panel, and so many columns of them. */
  readonly stagingAt: number;
  readonly stagingColumns: number;
  readonly wasm: SharedMemory;
  /** Before all blocks. */
  readonly roomAt: number;
  private readonly seat: CrewSeat | null;
  private readonly blocks: FreeBlocks;
  private readonly sizes = new Map<number, number>();
  private readonly limitBytes: number;
  private readonly promisedBytes: number;
  /** Everything from here on was never handed out, and is zero. */
  private untouched: number;
  private readonly scratch = new Set<number>();
  private used = 0;
  private usedByScratch = 0;
  private calls = 0;
  private copies = 0;
  private copied = 0;

  /**
   * @param limitBytes - what may be handed out at most, default {@link MAX_MEMORY_BYTES}
   * @param crew - threads that compute in the memory, of the same settings. Default: the calling thread alone
   * @param promisedBytes - of those, what is planned for others than whoever asks {@link hasRoom}. Default 0
   */
  constructor(
    limitBytes = MAX_MEMORY_BYTES,
    settings: KernelSettings = PLAIN_KERNELS,
    crew: Crew | null = null,
    promisedBytes = 0,
  ) {
    this.wasm = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: MAX_PAGES, shared: true });
    this.seat = crew?.seat() ?? null;
    const module = compileKernels(settings);
    const exports = instantiate({ module, memory: this.wasm, ...(this.seat?.imports ?? ALONE) }) as KernelExports;
    if (settings.tileRows !== null) exports.setTile(settings.tileRows);
    exports.setActivations(ACTIVATIONS.indexOf(settings.activations ?? 'f32'));
    this.kernels = this.counted(exports);
    this.stagingAt = exports.stagingAt.value;
    this.stagingColumns = exports.stagingColumns.value;
    this.limitBytes = Math.min(limitBytes, MAX_MEMORY_BYTES);
    this.promisedBytes = promisedBytes;
    this.roomAt = roundUp(exports.heapBase.value, ALIGN_BYTES);
    const start = this.roomAt + ROOM_BYTES;
    this.blocks = new FreeBlocks(start);
    this.untouched = start;
    // They are no more counted than those of this thread.
    const statics = this.roomAt;
    this.seat?.open(this.wasm, exports, () => this.blocks.take(statics, (end) => this.growTo(end, statics)));
  }

  /** That compute in it. */
  get numThreads(): number {
    return this.seat?.numThreads ?? 1;
  }

  /** Bytes handed out. */
  get usedBytes(): number {
    return this.used;
  }

  /** Of those, what {@link allocateScratch} handed out. */
  get scratchBytes(): number {
    return this.usedByScratch;
  }

  /** Bytes that the memory takes of the process. */
  get reservedBytes(): number {
    return this.wasm.buffer.byteLength;
  }

  /** Takes memory of the process for blocks of so many bytes in all, which then need no further growth. Does less where the machine or the limit gives less. */
  expect(numBytes: number): void {
    const end = Math.min(this.untouched + numBytes, this.limitBytes);
    try {
      this.growTo(end, numBytes);
    } catch {
      // Whoever needs it all is told.
    }
  }

  /**
   * Address of `numBytes` zeros, at a multiple of 64. Views made earlier are stale.
   * @throws ExpertError OUT_OF_MEMORY with both numbers, and nothing changed
   */
  allocate(numBytes: number): number {
    const size = roundUp(Math.max(numBytes, 1), ALIGN_BYTES);
    const address = this.blocks.take(size, (end) => this.growTo(end, numBytes));
    this.sizes.set(address, size);
    this.used += size;
    this.bytes(address, Math.max(0, Math.min(size, this.untouched - address))).fill(0);
    this.untouched = Math.max(this.untouched, address + size);
    return address;
  }

  /** The same for what grows with the largest step and is used again and again, which is counted apart. */
  allocateScratch(numBytes: number): number {
    const address = this.allocate(numBytes);
    this.scratch.add(address);
    this.usedByScratch += this.sizes.get(address)!;
    return address;
  }

  /** Whether there is room for so many bytes in one piece that leaves what is promised besides what is held, if the machine gives them. */
  hasRoom(numBytes: number): boolean {
    const limit = this.limitBytes - this.promisedBytes;
    // A gap may be what was reserved, used and given back: it is wanted again.
    return this.used - this.usedByScratch + numBytes <= limit && this.blocks.fits(numBytes, limit);
  }

  /**
   * A kernel of about so many multiply-adds. Where threads compute in the memory, they do a long one alone: the caller waits, and its event loop is free. The memory
   * may grow meanwhile, and kernels may be called, if only they leave alone what the call reads and writes. @throws ExpertError THREAD_FAILED
   */
  call(kernel: keyof Kernels, numMultiplyAdds: number, ...args: number[]): number | Promise<number> {
    if (this.seat === null || numMultiplyAdds < LONG_MULTIPLY_ADDS) return (this.kernels[kernel] as Kernel)(...args);
    this.calls++;
    return this.seat.call(kernel, args);
  }

  /** Gives a block back. @throws ExpertError INVALID_ARGUMENT for an address that isn't handed out */
  free(address: number): void {
    const size = this.sizes.get(address);
    if (size === undefined)
      throw new ExpertError('INVALID_ARGUMENT', `address ${address} is not handed out; please report this`);
    this.sizes.delete(address);
    this.used -= size;
    if (this.scratch.delete(address)) this.usedByScratch -= size;
    this.blocks.give(address, size);
  }

  /** Views of the memory, valid until the next {@link allocate}. */
  bytes(address: number, length: number): Uint8Array<SharedArrayBuffer> {
    return new Uint8Array(this.wasm.buffer, address, length);
  }
  /** `length` float32 values from `address` on, a multiple of 4. */
  floats(address: number, length: number): Float32Array<SharedArrayBuffer> {
    return new Float32Array(this.wasm.buffer, address, length);
  }
  /** `length` int32 values from `address` on, a multiple of 4. */
  words(address: number, length: number): Int32Array<SharedArrayBuffer> {
    return new Int32Array(this.wasm.buffer, address, length);
  }

  /** Rows of values into the memory. */
  copyIn(address: number, values: Float32Array): void {
    this.floats(address, values.length).set(values);
    this.countCopy(values.byteLength);
  }

  /** Rows of values out of the memory. */
  copyOut(address: number, length: number): Float32Array<ArrayBuffer> {
    this.countCopy(4 * length);
    return this.floats(address, length).slice();
  }

  /** A copy that was made through a view. */
  countCopy(numBytes: number): void {
    this.copies++;
    this.copied += numBytes;
  }

  /** Calls of kernels, and copies of values in and out, since the memory was made. */
  get counts(): { readonly numCalls: number; readonly numCopies: number; readonly copiedBytes: number } {
    return { numCalls: this.calls, numCopies: this.copies, copiedBytes: this.copied };
  }

  private counted(exports: KernelExports): Kernels {
    const kernels = Object.entries(exports).filter(([, value]) => typeof value === 'function') as [string, Kernel][];
    const wrapped = kernels.map(([name, kernel]): [string, Kernel] => [
      name,
      (...args) => {
        this.calls++;
        return kernel(...args);
      },
    ]);
    return Object.fromEntries(wrapped) as unknown as Kernels;
  }

  private growTo(end: number, wantedBytes: number): void {
    const memory = this.wasm;
    if (end > this.limitBytes) throw outOfMemory(wantedBytes, this.used, this.limitBytes);
    const missing = end - memory.buffer.byteLength;
    if (missing <= 0) return;
    try {
      memory.grow(Math.ceil(missing / PAGE_BYTES));
    } catch (error) {
      throw outOfMemory(wantedBytes, this.used, this.limitBytes, error);
    }
  }
}

function outOfMemory(wantedBytes: number, used: number, limit: number, cause?: unknown): ExpertError {
  const mib = (n: number): string => `${Math.ceil(n / 2 ** 20)} MiB`;
  const why = cause === undefined ? '' : ' and the machine gives no more';
  return new ExpertError(
    'OUT_OF_MEMORY',
    `${mib(wantedBytes)} don't fit into a kernel memory that holds ${mib(used)} of ${mib(limit)}${why}; use more ranks or a smaller resident dtype`,
    { cause },
  );
}

const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;
