/**
 * What every mode of the all-to-all stands on: frames of one phase to and from all peers that aren't masked, counted and timed.
 * Knows nothing of rows.
 */
import { MAX_TIMEOUT_MS } from '../../base/deadline.js';
import { CommError } from '../../base/errors.js';
import { ExchangeStats } from './exchange_stats.js';
import { FRAME_HEADER_BYTES, type FrameHeader, type Phase, type StepTag } from '../../mesh/frame.js';
import { gather, peersOf } from '../../mesh/gather.js';
import type { Rank } from '../../../base/ids.js';
import type { Frame, Mesh } from '../../mesh/mesh.js';
import { RankMask } from './rank_mask.js';
import type { OnSpan, Span } from './span.js';

/** What a lost or silent peer does to a call. */
export type OnPeerLoss = 'fail' | 'mask';

/** A frame to send, without what the exchange knows itself. */
export type FrameBody = Pick<FrameHeader, 'numRows' | 'hidden' | 'numTopk' | 'dtype' | 'flags'> & {
  /** Distinct tokens that the rows stand for. */
  readonly numTokens: number;
} & FramePayload;

/** What travels: the mesh's own memory, which goes back there, or somebody's that must not change until it has left. */
export type FramePayload =
  | { readonly payload: Uint8Array; readonly isOwn?: false }
  | { readonly payload: Uint8Array<ArrayBuffer>; readonly isOwn: true };

export interface ExchangeParts {
  readonly timeoutMs: number;
  readonly onPeerLoss: OnPeerLoss;
  readonly onSpan: OnSpan | undefined;
}

export class Exchange {
  readonly mesh: Mesh;
  readonly mask: RankMask;
  readonly stats: ExchangeStats;
  readonly #peers: readonly Rank[];
  readonly #parts: ExchangeParts;

  constructor(mesh: Mesh, parts: ExchangeParts) {
    [this.mesh, this.#parts] = [mesh, parts];
    this.mask = new RankMask(mesh);
    this.stats = new ExchangeStats(mesh.size);
    this.#peers = peersOf(mesh);
  }

  /** Peers that aren't masked, ascending. */
  get peers(): readonly Rank[] {
    return this.#peers.filter((rank) => !this.mask.has(rank));
  }

  /** Sends one frame. With 'mask', a peer whose link is lost is masked instead of an error. Throws as `Mesh.send`. */
  send(phase: Phase, tag: StepTag, to: Rank, body: FrameBody): void {
    const { layer } = tag;
    const payloadBytes = body.payload.byteLength;
    // Field by field: spreading objects takes longer than sending a small frame.
    const header = {
      phase,
      source: this.mesh.rank,
      destination: to,
      step: tag.step,
      layer,
      microBatch: tag.microBatch,
      epoch: tag.epoch,
      numRows: body.numRows,
      hidden: body.hidden,
      numTopk: body.numTopk,
      dtype: body.dtype,
      flags: body.flags,
      payloadBytes,
    };
    try {
      if (body.isOwn === true) this.mesh.give(to, header, body.payload);
      else this.mesh.send(to, header, [body.payload]);
    } catch (error) {
      if (!this.#masks(to, error)) throw error;
      return;
    }
    const bytes = FRAME_HEADER_BYTES + payloadBytes;
    this.stats.sent(phase, layer, to, { tokens: body.numTokens, rows: body.numRows, bytes });
  }

  /** Sends a frame that tells of a failure: one that can't leave changes nothing. */
  tell(phase: Phase, tag: StepTag, to: Rank, body: FrameBody): void {
    try {
      this.send(phase, tag, to, body);
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
    }
  }

  /** What was sent leaves now: compute may follow in this turn. */
  flush(): void {
    this.mesh.flush();
  }

  /** Counts rows that this rank keeps for itself. */
  keep(phase: Phase, { layer }: StepTag, numTokens: number, numRows: number): void {
    this.stats.sent(phase, layer, this.mesh.rank, { tokens: numTokens, rows: numRows, bytes: 0 });
  }

  /**
   * One frame of this phase from each of `from`, in their order; with 'mask', those that are lost or silent are masked and
   * left out. Rejects as `Mesh.receive`, a TIMEOUT naming every silent rank. `patience`: how many deadlines long it waits, one more for
   * those that may have waited with grace themselves; with 'mask', one of grace while several peers are silent.
   */
  async gather(
    phase: Phase,
    { step, layer, microBatch, epoch }: StepTag,
    from: readonly Rank[],
    signal: AbortSignal | undefined,
    patience = 1,
  ): Promise<Frame[]> {
    const isMasking = this.#parts.onPeerLoss === 'mask';
    // Whoever forwards may have waited with grace itself.
    const numDeadlines = isMasking && patience > 1 ? patience + 1 : patience;
    const timeoutMs = Math.min(this.#parts.timeoutMs * numDeadlines, MAX_TIMEOUT_MS);
    const key = { phase, step, layer, microBatch, epoch };
    return gather(
      this.mesh,
      from,
      key,
      { timeoutMs, signal },
      {
        graceMs: isMasking ? this.#parts.timeoutMs : 0,
        onFrame: (peer, waitMs) => this.stats.waited(phase, layer, peer, waitMs),
        onFailure: (peer, error) => this.#masks(peer, error),
      },
    );
  }

  /** Throws LIMIT before anything is sent, so that a call that can't be made leaves no half of it with the peers. */
  checkFrame(phase: Phase, { layer }: StepTag, to: Rank, frameBytes: number): void {
    const { maxFrameBytes } = this.mesh;
    if (frameBytes <= maxFrameBytes) return;
    const message =
      `${phase} of layer ${layer} needs ${frameBytes} bytes to rank ${to}, ` +
      `${maxFrameBytes} allowed; send fewer tokens per call or raise maxFrameBytes`;
    throw new CommError('LIMIT', message, { rank: to, layer, phase });
  }

  /** Tells the timeline, if there is one. */
  span(phase: Phase, part: Span['part'], tag: StepTag, startMs: number, endMs = performance.now()): void {
    this.#parts.onSpan?.({ phase, part, tag, startMs, endMs });
  }

  /** Whether the call goes on without this peer. */
  #masks(peer: Rank, error: unknown): boolean {
    if (this.mask.has(peer)) return true;
    if (this.#parts.onPeerLoss === 'fail' || !(error instanceof CommError)) return false;
    if (error.code !== 'PEER_LOST' && error.code !== 'TIMEOUT') return false;
    this.mask.add(peer);
    return true;
  }
}
