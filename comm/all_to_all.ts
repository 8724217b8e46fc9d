/**
 * Expert-parallel all-to-all over a mesh, with DeepEP's normal-mode semantics. Works on numbers and bytes only.
 * T tokens of this rank, H channels, K choices per token, N received rows, M received (row, choice) pairs.
 */
import type {
  AllToAll,
  AllToAllOptions,
  DispatchHandle,
  DispatchRequest,
  DispatchResult,
} from './all_to_all_contract.js';
import { checkOptions, checkRequest, checkExpertOut } from './all_to_all_check.js';
import { sumChoices, sumRanks, type Choices } from './combine_sum.js';
import { CommError } from './errors.js';
import { FRAME_HEADER_BYTES, type Phase, type StepTag } from './frame.js';
import { gather, peersOf } from './gather.js';
import type { Rank } from './ids.js';
import { layoutOf, type DestinationLayout } from './layout.js';
import type { Frame, Mesh } from './mesh.js';
import {
  combineBytes,
  dispatchBytes,
  newDispatchPayload,
  readCombinePayload,
  readDispatchPayload,
  type DispatchPayload,
  type PayloadShape,
  type Reduce,
} from './payload.js';

export type {
  AllToAll,
  AllToAllOptions,
  DispatchHandle,
  DispatchRequest,
  DispatchResult,
} from './all_to_all_contract.js';
export { combineBytes, dispatchBytes, type Reduce } from './payload.js';

/** The all-to-all of this rank. Every rank of the mesh makes one with the same options. Throws INVALID_ARGUMENT. */
export function createAllToAll(mesh: Mesh, options: AllToAllOptions): AllToAll {
  return new MeshAllToAll(mesh, options);
}

/** What a combine has to know of its dispatch. */
interface Dispatched extends Choices {
  readonly tag: StepTag;
  readonly signal: AbortSignal | undefined;
  readonly numTokens: number;
  /** Per destination rank, what this rank sent. */
  readonly layouts: readonly DestinationLayout[];
  /** [size] rows ('rank') or choices ('source') that this rank owes to each source. */
  readonly numOwed: readonly number[];
}

class MeshAllToAll implements AllToAll {
  readonly reduce: Reduce;
  readonly #mesh: Mesh;
  readonly #peers: readonly Rank[];
  readonly #shape: PayloadShape;
  readonly #timeoutMs: number;
  /** Keyed by identity, so a foreign or spent handle isn't found, and an abandoned one is collected. */
  readonly #dispatched = new WeakMap<DispatchHandle, Dispatched>();
  readonly #sentBytes: Record<'dispatch' | 'combine', number[]>;

  constructor(mesh: Mesh, options: AllToAllOptions) {
    const { hidden, numTopk, slotsPerRank, reduce = 'rank', timeoutMs = 10000 } = options;
    checkOptions({ hidden, numTopk, slotsPerRank, reduce, timeoutMs });
    this.reduce = reduce;
    this.#mesh = mesh;
    this.#peers = peersOf(mesh);
    this.#shape = { hidden, numTopk, slotsPerRank, reduce };
    this.#timeoutMs = timeoutMs;
    const zeros = (): number[] => new Array<number>(mesh.size).fill(0);
    this.#sentBytes = { dispatch: zeros(), combine: zeros() };
  }

  async dispatch(request: DispatchRequest): Promise<DispatchResult> {
    // 1. Which rows go where.
    checkRequest(request, this.#shape);
    const { numTopk, slotsPerRank } = this.#shape;
    const layouts = layoutOf(request.topkIdx, { numTopk, slotsPerRank, size: this.#mesh.size });
    const choices = {
      topkIdx: request.topkIdx.slice(),
      topkWeights: request.topkWeights.slice(),
      numTopk,
      slotsPerRank,
    };
    const numTokens = request.topkIdx.length / numTopk;

    // 2. One frame to every peer, also without rows: a peer that gets none would wait for it.
    this.#checkFrames(
      'dispatch',
      request.tag,
      layouts.map(({ rows }) => this.#dispatchBytes(rows.length)),
    );
    const parts: DispatchPayload[] = new Array<DispatchPayload>(this.#mesh.size);
    for (const peer of this.#peers) {
      const { bytes } = this.#pack(layouts[peer]!, request);
      this.#send('dispatch', peer, request.tag, layouts[peer]!.rows.length, bytes);
    }

    // 3. One frame from every peer; the own rows stay in memory.
    parts[this.#mesh.rank] = this.#pack(layouts[this.#mesh.rank]!, request);
    for (const { header, payload } of await this.#gather('dispatch', request.tag, request.signal)) {
      parts[header.source] = readDispatchPayload(header, payload, this.#shape);
    }

    // 4. Rows by source rank, then source row.
    const handle: DispatchHandle = { tag: { ...request.tag } };
    const result = this.#assemble(parts, handle);
    const numOwed = parts.map((part) => (this.reduce === 'rank' ? part.numRows : countChoices(part.slots)));
    const { signal } = request;
    this.#dispatched.set(handle, { ...choices, tag: handle.tag, signal, numTokens, layouts, numOwed });
    return result;
  }

  async combine(expertOut: Float32Array, handle: DispatchHandle): Promise<Float32Array> {
    // 1. A handle serves once.
    const sent = this.#dispatched.get(handle);
    if (sent === undefined) {
      const message = 'the handle was used before or is of another all-to-all; combine once per dispatch';
      throw new CommError('INVALID_ARGUMENT', message, { layer: handle.tag.layer, phase: 'combine' });
    }
    const { hidden } = this.#shape;
    checkExpertOut(expertOut, sent.numOwed, hidden, this.reduce);
    this.#checkFrames(
      'combine',
      sent.tag,
      sent.numOwed.map((numRows) => combineBytes(numRows, hidden)),
    );
    this.#dispatched.delete(handle);

    // 2. Every source's rows go home; they lie together because dispatch ordered them by source.
    const returned: Float32Array[] = new Array<Float32Array>(this.#mesh.size);
    let at = 0;
    for (const [rank, numRows] of sent.numOwed.entries()) {
      const rows = expertOut.subarray(at, (at += numRows * hidden));
      if (rank === this.#mesh.rank) returned[rank] = rows;
      else this.#send('combine', rank as Rank, sent.tag, numRows, bytesOf(rows));
    }

    // 3. This rank's rows come home and are summed in fixed order.
    for (const { header, payload } of await this.#gather('combine', sent.tag, sent.signal)) {
      const { rows, numPairs } = sent.layouts[header.source]!;
      const numRows = this.reduce === 'rank' ? rows.length : numPairs;
      returned[header.source] = readCombinePayload(header, payload, numRows, this.#shape);
    }
    return this.reduce === 'rank'
      ? sumRanks(returned, sent.layouts, sent.numTokens, hidden)
      : sumChoices(returned, sent, hidden);
  }

  stats(): { readonly dispatchBytes: readonly number[]; readonly combineBytes: readonly number[] } {
    return { dispatchBytes: [...this.#sentBytes.dispatch], combineBytes: [...this.#sentBytes.combine] };
  }

  /** The rows of `x` for one destination, with routing; weights of choices that live elsewhere are 0. */
  #pack({ rows, slots }: DestinationLayout, request: DispatchRequest): DispatchPayload & { bytes: Uint8Array } {
    const { hidden, numTopk } = this.#shape;
    const packed = newDispatchPayload(rows.length, this.#shape);
    packed.slots.set(slots);
    for (let n = 0; n < rows.length; n += 1) {
      const row = rows[n]!;
      packed.x.set(request.x.subarray(row * hidden, (row + 1) * hidden), n * hidden);
    }
    for (let i = 0; i < packed.weights.length; i += 1) {
      if (slots[i] === -1) continue;
      packed.weights[i] = request.topkWeights[rows[Math.floor(i / numTopk)]! * numTopk + (i % numTopk)]!;
    }
    return packed;
  }

  #assemble(parts: readonly DispatchPayload[], handle: DispatchHandle): DispatchResult {
    const { hidden, numTopk, slotsPerRank, reduce } = this.#shape;
    const numRecvTokens = parts.reduce((sum, part) => sum + part.numRows, 0);
    const recvX = new Float32Array(numRecvTokens * hidden);
    const recvTopkIdx = new Int32Array(numRecvTokens * numTopk);
    const recvTopkWeights = new Float32Array(reduce === 'rank' ? numRecvTokens * numTopk : 0);
    let row = 0;
    for (const part of parts) {
      recvX.set(part.x, row * hidden);
      recvTopkIdx.set(part.slots, row * numTopk);
      if (reduce === 'rank') recvTopkWeights.set(part.weights, row * numTopk);
      row += part.numRows;
    }
    const numRecvTokensPerExpert = new Int32Array(slotsPerRank);
    for (let i = 0; i < recvTopkIdx.length; i += 1) {
      if (recvTopkIdx[i]! >= 0) numRecvTokensPerExpert[recvTopkIdx[i]!]! += 1;
    }
    return { numRecvTokens, recvX, recvTopkIdx, recvTopkWeights, numRecvTokensPerExpert, reduce, handle };
  }

  #send(phase: 'dispatch' | 'combine', to: Rank, tag: StepTag, numRows: number, payload: Uint8Array): void {
    const { hidden, numTopk } = this.#shape;
    const reduceSource = this.reduce === 'source' ? 1 : 0;
    const { step, layer, microBatch, epoch } = tag;
    const route = { phase, source: this.#mesh.rank, destination: to, step, layer, microBatch, epoch };
    const payloadBytes = payload.byteLength;
    this.#mesh.send(to, { ...route, numRows, hidden, numTopk, reduceSource, payloadBytes }, [payload]);
    this.#sentBytes[phase][to]! += FRAME_HEADER_BYTES + payloadBytes;
  }

  #gather(
    phase: Phase,
    { step, layer, microBatch, epoch }: StepTag,
    signal: AbortSignal | undefined,
  ): Promise<Frame[]> {
    const key = { phase, step, layer, microBatch, epoch };
    return gather(this.#mesh, this.#peers, key, { timeoutMs: this.#timeoutMs, signal });
  }

  /** Before anything is sent, so that a call that can't be made leaves no half of it with the peers. */
  #checkFrames(phase: Phase, { layer }: StepTag, frameBytes: readonly number[]): void {
    for (const rank of this.#peers) {
      if (frameBytes[rank]! <= this.#mesh.maxFrameBytes) continue;
      const message =
        `${phase} of layer ${layer} needs ${frameBytes[rank]!} bytes to rank ${rank}, ` +
        `${this.#mesh.maxFrameBytes} allowed; send fewer tokens per call or raise maxFrameBytes`;
      throw new CommError('LIMIT', message, { rank, layer, phase });
    }
  }

  #dispatchBytes(numRows: number): number {
    const { hidden, numTopk, reduce } = this.#shape;
    return dispatchBytes(numRows, hidden, numTopk, reduce);
  }
}

function countChoices(slots: Int16Array): number {
  let count = 0;
  for (let i = 0; i < slots.length; i += 1) if (slots[i]! >= 0) count += 1;
  return count;
}

const bytesOf = (rows: Float32Array): Uint8Array => new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
