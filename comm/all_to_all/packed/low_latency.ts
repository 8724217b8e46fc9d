/**
 * The all-to-all for small batches, with DeepEP's low-latency semantics: rows lie packed by expert, ready for grouped matmuls.
 * T tokens of this rank, H channels, K choices per token, S slots per rank, R = ranks · maxTokensPerRank rows per expert.
 * Why: docs/decisions/exchange.md#low-latency-mode
 */
import { createExchange } from '../all_to_all.js';
import { checkCount, checkShape, checkTokens, checkWeights, invalid } from '../contract/all_to_all_check.js';
import type { DispatchHandle, Pending } from '../contract/all_to_all_contract.js';
import { sumChoices } from '../contract/combine_sum.js';
import { DegradedTokens, withoutMasked } from '../contract/degraded.js';
import { Endpoint } from '../contract/endpoint.js';
import { CommError } from '../../base/errors.js';
import type { Exchange } from '../exchange/exchange.js';
import { lastArrival } from '../../mesh/gather.js';
import type {
  LowLatencyAllToAll,
  LowLatencyOptions,
  LowLatencyRequest,
  LowLatencyResult,
} from '../contract/low_latency_contract.js';
import type { Frame, Mesh } from '../../mesh/mesh.js';
import { leaseFloats, releaseOnce, type PayloadMemory } from '../../mesh/payload_pool.js';
import { pendingOf } from '../contract/pending.js';
import { PackedBuffers } from './packed_buffers.js';
import { layoutRangeOf, packedLayoutOf, packedRowsOf, type PackedLayout } from './packed_layout.js';
import {
  lowLatencyDispatchBytes,
  packedShapeOf,
  packRows,
  readPackedRows,
  unpackRows,
  type PackedRows,
} from './packed_payload.js';
import { checkCombinePayload, combineBytes, flagsOf, type PayloadShape } from '../contract/payload.js';
import { decodeRows, encodeRows, wireRowBytes } from '../../codec/wire_dtype.js';

export type * from '../contract/low_latency_contract.js';

/** Largest maxTokensPerRank; memory ends earlier. */
const MAX_TOKENS = 0xffffff;

/** The low-latency all-to-all of this rank. Every rank of the mesh makes one with the same options. Throws INVALID_ARGUMENT or LIMIT. */
export function createLowLatencyAllToAll(mesh: Mesh, options: LowLatencyOptions): LowLatencyAllToAll {
  const { hidden, numTopk, slotsPerRank, maxTokensPerRank, wire = {} } = options;
  const dtypes = { dispatchDtype: wire.dispatch ?? 'f32', combineDtype: wire.combine ?? 'f32' } as const;
  checkShape({ hidden, numTopk, slotsPerRank, ...dtypes });
  checkCount('maxTokensPerRank', maxTokensPerRank, MAX_TOKENS);
  const exchange = createExchange(mesh, options);
  return new PackedAllToAll(exchange, packedShapeOf({ hidden, slotsPerRank, ...dtypes }), numTopk, maxTokensPerRank);
}

/** What a combine has to know of its dispatch. */
interface Dispatched {
  readonly signal: AbortSignal | undefined;
  /** [T·K] without choices on masked ranks. */
  readonly topkIdx: Int32Array;
  readonly layout: PackedLayout;
  /** By source: whether its rows came. */
  readonly isHeard: readonly boolean[];
  readonly range: Int32Array;
  readonly degraded: DegradedTokens;
  isCombined: boolean;
}

class PackedAllToAll extends Endpoint implements LowLatencyAllToAll {
  readonly rowsPerExpert: number;
  readonly #shape: PayloadShape;
  readonly #numTopk: number;
  readonly #maxTokens: number;
  readonly #buffers: PackedBuffers;
  readonly #dispatched = new WeakMap<DispatchHandle, Dispatched>();

  constructor(exchange: Exchange, shape: PayloadShape, numTopk: number, maxTokens: number) {
    super(exchange);
    [this.#shape, this.#numTopk, this.#maxTokens] = [shape, numTopk, maxTokens];
    const { size } = exchange.mesh;
    const { hidden, slotsPerRank } = shape;
    this.rowsPerExpert = size * maxTokens;
    const what = `${slotsPerRank} experts × ${size} ranks × ${maxTokens} tokens × hidden ${hidden}`;
    this.#buffers = new PackedBuffers(slotsPerRank * this.rowsPerExpert * hidden, what);
  }

  async dispatch(request: LowLatencyRequest): Promise<LowLatencyResult> {
    return this.startDispatch(request).hook();
  }

  startDispatch(request: LowLatencyRequest): Pending<LowLatencyResult> {
    // 1. Which rows go where, and whether they fit.
    const startMs = performance.now();
    const { exchange } = this;
    const { peers, mesh } = exchange;
    const { memory } = mesh;
    const { x, signal } = request;
    const tag = { ...request.tag };
    const degraded = new DegradedTokens();
    const topkIdx = this.#routingOf(request, degraded);
    const { slotsPerRank } = this.#shape;
    const layout = packedLayoutOf(topkIdx, { numTopk: this.#numTopk, slotsPerRank, size: mesh.size });
    for (const peer of peers) {
      const { hidden, dispatchDtype } = this.#shape;
      const numRows = this.#numRowsTo(layout, peer);
      exchange.checkFrame('dispatch', tag, peer, lowLatencyDispatchBytes(numRows, hidden, dispatchDtype));
    }

    // 2. One frame to every peer, also without rows; the own rows take the same form and stay.
    for (const peer of peers) {
      const { payload, numRows } = packRows(x, layout, peer, this.#shape, memory);
      const numTokens = layout.numTokens[peer]!;
      const body = { ...this.#bodyOf('dispatch'), numRows, numTokens, payload, isOwn: true } as const;
      exchange.send('dispatch', tag, peer, body);
    }
    exchange.flush();
    const own = packRows(x, layout, mesh.rank, this.#shape, memory);
    const releaseOwn = releaseOnce(memory, own.payload);
    exchange.keep('dispatch', tag, layout.numTokens[mesh.rank]!, own.numRows);
    const sentMs = performance.now();
    exchange.span('dispatch', 'pack', tag, startMs, sentMs);

    // 3. One frame from every peer.
    return pendingOf('dispatch', async () => {
      const frames = await exchange.gather('dispatch', tag, peers, signal);
      const arrivedMs = lastArrival(frames, sentMs);
      exchange.span('dispatch', 'flight', tag, sentMs, arrivedMs);
      const bySource = this.#bySource<PackedRows>(own, frames, (frame) =>
        readPackedRows(frame, this.#shape, this.#maxTokens),
      );
      const result = this.#assemble(bySource, { tag }, degraded);
      releaseOwn();
      for (const { release } of frames) release?.();
      const isHeard = bySource.map((part) => part !== undefined);
      const record = { signal, topkIdx, layout, isHeard, range: result.recvLayoutRange, degraded, isCombined: false };
      this.#dispatched.set(result.handle, record);
      exchange.span('dispatch', 'unpack', tag, arrivedMs);
      return result;
    });
  }

  async combine(expertOut: Float32Array, handle: DispatchHandle, topkWeights: Float32Array): Promise<Float32Array> {
    return this.startCombine(expertOut, handle, topkWeights).hook();
  }

  startCombine(expertOut: Float32Array, handle: DispatchHandle, topkWeights: Float32Array): Pending<Float32Array> {
    // 1. Every source's rows go home.
    const startMs = performance.now();
    const { exchange } = this;
    const { mesh } = exchange;
    const { memory } = mesh;
    const { tag } = handle;
    const sent = this.#takeHandle(handle, expertOut, topkWeights);
    const peers = exchange.peers.filter((peer) => sent.isHeard[peer]);
    const { hidden, combineDtype } = this.#shape;
    const rowsOf = Array.from({ length: mesh.size }, (_, source) =>
      packedRowsOf(sent.range, source, mesh.size, this.rowsPerExpert),
    );
    for (const peer of peers)
      exchange.checkFrame('combine', tag, peer, combineBytes(rowsOf[peer]!.length, hidden, combineDtype));
    for (const peer of peers) {
      const numRows = rowsOf[peer]!.length;
      const payload = this.#encode(expertOut, rowsOf[peer]!, memory);
      const body = { ...this.#bodyOf('combine'), numRows, numTokens: numRows, payload, isOwn: true } as const;
      exchange.send('combine', tag, peer, body);
    }
    exchange.flush();
    const numKept = rowsOf[mesh.rank]!.length;
    const own = this.#encode(expertOut, rowsOf[mesh.rank]!, memory);
    const releaseOwn = releaseOnce(memory, own);
    exchange.keep('combine', tag, numKept, numKept);
    sent.isCombined = true;
    const weights = topkWeights.slice();
    const sentMs = performance.now();
    exchange.span('combine', 'pack', tag, startMs, sentMs);

    // 2. This rank's rows come home, and are weighted and summed in fixed order.
    return pendingOf('combine', async () => {
      const frames = await exchange.gather('combine', tag, peers, sent.signal);
      const arrivedMs = lastArrival(frames, sentMs);
      exchange.span('combine', 'flight', tag, sentMs, arrivedMs);
      const y = this.#sum(own, frames, sent, weights);
      releaseOwn();
      for (const { release } of frames) release?.();
      this.numDegradedTokens += sent.degraded.numTokens;
      exchange.span('combine', 'unpack', tag, arrivedMs);
      return y;
    });
  }

  #routingOf(request: LowLatencyRequest, degraded: DegradedTokens): Int32Array {
    const { hidden, slotsPerRank } = this.#shape;
    const numTopk = this.#numTopk;
    const numTokens = checkTokens(request, { hidden, numTopk });
    if (numTokens > this.#maxTokens) {
      throw invalid(
        `x has ${numTokens} tokens, maxTokensPerRank is ${this.#maxTokens}; pass fewer or raise it everywhere`,
      );
    }
    return withoutMasked(request.topkIdx, { numTopk, slotsPerRank }, this.exchange.mask, degraded);
  }

  #assemble(
    bySource: readonly (PackedRows | undefined)[],
    handle: DispatchHandle,
    degraded: DegradedTokens,
  ): LowLatencyResult {
    const { slotsPerRank } = this.#shape;
    const width = bySource.length + 1;
    const counts = bySource.map((part) => part?.counts);
    const recvLayoutRange = layoutRangeOf(counts, slotsPerRank);
    const recvX = this.#buffers.next();
    for (const [source, part] of bySource.entries()) {
      const rowStartOf = (slot: number): number => slot * this.rowsPerExpert + recvLayoutRange[slot * width + source]!;
      if (part !== undefined) unpackRows(part, recvX, rowStartOf, this.#shape);
    }
    const recvCount = Int32Array.from({ length: slotsPerRank }, (_, slot) => recvLayoutRange[(slot + 1) * width - 1]!);
    return { recvX, recvCount, recvLayoutRange, handle, degraded };
  }

  #takeHandle(handle: DispatchHandle, expertOut: Float32Array, topkWeights: Float32Array): Dispatched {
    const sent = this.#dispatched.get(handle);
    if (sent === undefined || sent.isCombined) {
      const message = 'the handle was used before or is of another all-to-all; combine once per dispatch';
      throw new CommError('INVALID_ARGUMENT', message, { layer: handle.tag.layer, phase: 'combine' });
    }
    const { hidden, slotsPerRank } = this.#shape;
    const numRows = slotsPerRank * this.rowsPerExpert;
    if (expertOut.length !== numRows * hidden) {
      throw invalid(`expertOut has ${expertOut.length} numbers; pass ${numRows} packed rows × hidden ${hidden}`);
    }
    checkWeights(topkWeights, sent.topkIdx.length);
    return sent;
  }

  #sum(own: Uint8Array, frames: readonly Frame[], sent: Dispatched, topkWeights: Float32Array): Float32Array {
    const { hidden, slotsPerRank, combineDtype } = this.#shape;
    const { topkIdx, layout, degraded } = sent;
    const bytes = this.#bySource(own, frames, ({ header, payload }) => {
      checkCombinePayload(header, this.#numRowsTo(layout, header.source), this.#shape);
      return payload;
    });
    const returned = bytes.map((rows, rank) => {
      const numRows = this.#numRowsTo(layout, rank);
      const first = layout.start[rank * slotsPerRank]!;
      if (rows === undefined) degraded.add(layout.rows.subarray(first, first + numRows));
      if (rows === undefined) return undefined;
      const decoded = leaseFloats(this.exchange.mesh.memory, numRows * hidden);
      decodeRows(combineDtype, rows, numRows, hidden, decoded.floats, 0);
      return decoded;
    });
    const choices = { topkIdx, topkWeights, numTopk: this.#numTopk, slotsPerRank, rowOf: layout.rowOf };
    const y = sumChoices(
      returned.map((one) => one?.floats),
      choices,
      hidden,
    );
    for (const one of returned) one?.release();
    return y;
  }

  /** The own part and what `read` makes of the peers' frames; undefined where a masked rank sent none. */
  #bySource<T>(own: T, frames: readonly Frame[], read: (frame: Frame) => T): (T | undefined)[] {
    const { mesh } = this.exchange;
    const bySource = new Array<T | undefined>(mesh.size).fill(undefined);
    bySource[mesh.rank] = own;
    for (const frame of frames) bySource[frame.header.source] = read(frame);
    return bySource;
  }

  #numRowsTo({ start }: PackedLayout, rank: number): number {
    const { slotsPerRank } = this.#shape;
    return start[(rank + 1) * slotsPerRank]! - start[rank * slotsPerRank]!;
  }

  #encode(expertOut: Float32Array, rows: Int32Array, memory: PayloadMemory): Uint8Array<ArrayBuffer> {
    const { hidden, combineDtype } = this.#shape;
    const bytes = memory.allocate(rows.length * wireRowBytes(combineDtype, hidden));
    encodeRows(combineDtype, expertOut, rows, rows.length, hidden, bytes);
    return bytes;
  }

  #bodyOf(phase: 'dispatch' | 'combine') {
    const { hidden, numTopk, dispatchDtype, combineDtype } = this.#shape;
    const dtype = phase === 'dispatch' ? dispatchDtype : combineDtype;
    return { hidden, numTopk, dtype, flags: flagsOf(this.#shape, false) };
  }
}
