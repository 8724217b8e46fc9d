/**
 * The all-to-all for small batches, with DeepEP's low-latency semantics: rows lie packed by expert, ready for grouped matmuls.
 * T tokens of this rank, H channels, K choices per token, S slots per rank, R = ranks · maxTokensPerRank rows per expert.
 * Why: docs/decisions/exchange.md#low-latency-mode
 */
import { floatRows } from '../../../base/float_rows.js';
import { createExchange } from '../all_to_all.js';
import { checkCount, checkShape, checkTokens, checkWeights, invalid } from '../contract/all_to_all_check.js';
import type { DispatchHandle, Pending } from '../contract/all_to_all_contract.js';
import { sumChoices } from '../contract/combine_sum.js';
import { DegradedTokens, withoutMasked } from '../contract/degraded.js';
import { Endpoint, pendingOf } from '../contract/endpoint.js';
import type { Exchange } from '../exchange/exchange.js';
import type { Gathered } from '../exchange/round.js';
import type {
  LowLatencyAllToAll,
  LowLatencyOptions,
  LowLatencyRequest,
  LowLatencyResult,
} from '../contract/low_latency_contract.js';
import type { Mesh } from '../../mesh/mesh.js';
import type { PayloadMemory } from '../../mesh/payload_pool.js';
import { PackedBuffers } from './packed_buffers.js';
import { layoutRangeOf, numRowsTo, packedLayoutOf, packedRowsOf, type PackedLayout } from './packed_layout.js';
import { packedShapeOf, packRows, readPackedRows, unpackRows, type PackedRows } from './packed_payload.js';
import { checkCombinePayload, combineForm, dispatchForm, type PayloadShape } from '../contract/payload.js';
import { wireFormsOf } from '../contract/wire_forms.js';
import { travelledRows } from '../../codec/row_source.js';
import { encodeRows, wireRowBytes } from '../../codec/wire_dtype.js';

export type * from '../contract/low_latency_contract.js';

/** Largest maxTokensPerRank; memory ends earlier. */
const MAX_TOKENS = 0xffffff;

/**
 * The low-latency all-to-all of this rank. Every rank of the mesh makes one with the same options.
 * @throws CommError INVALID_ARGUMENT when an option is out of range, LIMIT when the machine doesn't give the memory, CODEC_FAILED when a codec can't be used
 */
export function createLowLatencyAllToAll(mesh: Mesh, options: LowLatencyOptions): LowLatencyAllToAll {
  const { hidden, numTopk, slotsPerRank, maxTokensPerRank, wire = {} } = options;
  checkShape(options);
  checkCount('maxTokensPerRank', maxTokensPerRank, MAX_TOKENS);
  const shape = packedShapeOf({ hidden, slotsPerRank, ...wireFormsOf(wire, hidden) });
  return new PackedAllToAll(createExchange(mesh, options), shape, numTopk, maxTokensPerRank);
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

class PackedAllToAll extends Endpoint<Dispatched> implements LowLatencyAllToAll {
  readonly rowsPerExpert: number;
  private readonly buffers: PackedBuffers;

  constructor(
    exchange: Exchange,
    private readonly shape: PayloadShape,
    private readonly numTopk: number,
    private readonly maxTokens: number,
  ) {
    super(exchange);
    const { size } = exchange.mesh;
    const { hidden, slotsPerRank } = shape;
    this.rowsPerExpert = size * maxTokens;
    const what = `${slotsPerRank} experts × ${size} ranks × ${maxTokens} tokens × hidden ${hidden}`;
    this.buffers = new PackedBuffers(slotsPerRank * this.rowsPerExpert * hidden, what);
  }

  async dispatch(request: LowLatencyRequest): Promise<LowLatencyResult> {
    return this.startDispatch(request).hook();
  }

  startDispatch(request: LowLatencyRequest): Pending<LowLatencyResult> {
    // 1. Which rows go where.
    const startMs = performance.now();
    const { exchange, shape, numTopk } = this;
    const { slotsPerRank } = shape;
    const { rank, size, memory } = exchange.mesh;
    const { x, signal } = request;
    const tag = { ...request.tag };
    const degraded = new DegradedTokens();
    const topkIdx = this.routingOf(request, degraded);
    const layout = packedLayoutOf(topkIdx, { numTopk, slotsPerRank, size });

    // 2. They go there; the own rows take the same form and stay.
    const gather = exchange.start({
      tag,
      signal,
      startMs,
      phase: 'dispatch',
      form: dispatchForm(shape),
      peers: exchange.peers,
      countsOf: (to) => ({ numRows: numRowsTo(layout, to, slotsPerRank), numTokens: layout.numTokens[to]! }),
      pack: (to) => ({ payload: packRows(x, layout, to, shape, memory).payload, isOwn: true }),
      keep: () => packRows(x, layout, rank, shape, memory),
    });

    // 3. What the peers sent comes.
    return pendingOf('dispatch', async () => {
      const gathered = await gather();
      const bySource = exchange.bySource<PackedRows>(gathered, (frame) => readPackedRows(frame, shape, this.maxTokens));
      const { recvX, recvCount, recvLayoutRange } = this.assemble(bySource);
      memory.release(gathered.own.payload);
      for (const { release } of gathered.frames) release?.();
      const isHeard = bySource.map((part) => part !== undefined);
      const record = { signal, topkIdx, layout, isHeard, range: recvLayoutRange, degraded, isCombined: false };
      const handle = this.handleOf(tag, record);
      exchange.span('dispatch', 'unpack', tag, gathered.arrivedMs);
      return { recvX, recvCount, recvLayoutRange, handle, degraded };
    });
  }

  async combine(expertOut: Float32Array, handle: DispatchHandle, topkWeights: Float32Array): Promise<Float32Array> {
    return this.startCombine(expertOut, handle, topkWeights).hook();
  }

  startCombine(expertOut: Float32Array, handle: DispatchHandle, topkWeights: Float32Array): Pending<Float32Array> {
    // 1. Every source's rows go home.
    const startMs = performance.now();
    const { exchange, shape } = this;
    const { rank, size, memory } = exchange.mesh;
    const { tag } = handle;
    const sent = this.takeHandle(handle, expertOut, topkWeights);
    const rowsOf = Array.from({ length: size }, (_, source) =>
      packedRowsOf(sent.range, source, size, this.rowsPerExpert),
    );
    const gather = exchange.start({
      tag,
      signal: sent.signal,
      startMs,
      phase: 'combine',
      form: combineForm(shape),
      peers: exchange.peers.filter((peer) => sent.isHeard[peer]),
      countsOf: (to) => ({ numRows: rowsOf[to]!.length }),
      pack: (to) => ({ payload: this.encode(expertOut, rowsOf[to]!, memory), isOwn: true }),
      keep: () => this.encode(expertOut, rowsOf[rank]!, memory),
    });
    sent.isCombined = true;
    const weights = topkWeights.slice();

    // 2. This rank's rows come home, and are weighted and summed in fixed order.
    return pendingOf('combine', async () => {
      const gathered = await gather();
      const y = this.sum(gathered, sent, weights);
      memory.release(gathered.own);
      for (const { release } of gathered.frames) release?.();
      this.numDegradedTokens += sent.degraded.numTokens;
      exchange.span('combine', 'unpack', tag, gathered.arrivedMs);
      return y;
    });
  }

  private routingOf(request: LowLatencyRequest, degraded: DegradedTokens): Int32Array {
    const { hidden, slotsPerRank } = this.shape;
    const numTopk = this.numTopk;
    const numTokens = checkTokens(request, { hidden, numTopk });
    if (numTokens > this.maxTokens) {
      throw invalid(
        `x has ${numTokens} tokens, maxTokensPerRank is ${this.maxTokens}; pass fewer or raise it everywhere`,
      );
    }
    return withoutMasked(request.topkIdx, { numTopk, slotsPerRank }, this.exchange.mask, degraded);
  }

  private assemble(
    bySource: readonly (PackedRows | undefined)[],
  ): Pick<LowLatencyResult, 'recvX' | 'recvCount' | 'recvLayoutRange'> {
    const { slotsPerRank } = this.shape;
    const width = bySource.length + 1;
    const counts = bySource.map((part) => part?.counts);
    const recvLayoutRange = layoutRangeOf(counts, slotsPerRank);
    const recvX = this.buffers.next();
    for (const [source, part] of bySource.entries()) {
      const rowStartOf = (slot: number): number => slot * this.rowsPerExpert + recvLayoutRange[slot * width + source]!;
      if (part !== undefined) unpackRows(part, recvX, rowStartOf, this.shape);
    }
    const recvCount = Int32Array.from({ length: slotsPerRank }, (_, slot) => recvLayoutRange[(slot + 1) * width - 1]!);
    return { recvX, recvCount, recvLayoutRange };
  }

  private takeHandle(handle: DispatchHandle, expertOut: Float32Array, topkWeights: Float32Array): Dispatched {
    const sent = this.uncombined(handle);
    const { hidden, slotsPerRank } = this.shape;
    const numRows = slotsPerRank * this.rowsPerExpert;
    if (expertOut.length !== numRows * hidden) {
      throw invalid(`expertOut has ${expertOut.length} numbers; pass ${numRows} packed rows × hidden ${hidden}`);
    }
    checkWeights(topkWeights, sent.topkIdx.length);
    return sent;
  }

  private sum(gathered: Gathered<Uint8Array>, sent: Dispatched, topkWeights: Float32Array): Float32Array {
    const { hidden, slotsPerRank, combineDtype } = this.shape;
    const { topkIdx, layout, degraded } = sent;
    const form = combineForm(this.shape);
    const bytes = this.exchange.bySource<Uint8Array>(gathered, ({ header, payload }) => {
      checkCombinePayload(header, numRowsTo(layout, header.source, slotsPerRank), form);
      return payload;
    });
    const returned = bytes.map((rows, rank) => {
      const numRows = numRowsTo(layout, rank, slotsPerRank);
      const first = layout.start[rank * slotsPerRank]!;
      if (rows === undefined) degraded.add(layout.rows.subarray(first, first + numRows));
      return rows && travelledRows(combineDtype, rows, numRows, hidden);
    });
    const choices = { topkIdx, topkWeights, numTopk: this.numTopk, slotsPerRank, rowOf: layout.rowOf };
    const y = new Float32Array((topkIdx.length / this.numTopk) * hidden);
    sumChoices(returned, choices, floatRows(y, hidden));
    return y;
  }

  private encode(expertOut: Float32Array, rows: Int32Array, memory: PayloadMemory): Uint8Array<ArrayBuffer> {
    const { hidden, combineDtype } = this.shape;
    const bytes = memory.allocate(rows.length * wireRowBytes(combineDtype, hidden));
    encodeRows(combineDtype, expertOut, rows, rows.length, hidden, bytes);
    return bytes;
  }
}
