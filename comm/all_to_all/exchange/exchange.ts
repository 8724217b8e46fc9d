/**
 * What every mode of the all-to-all stands on: rounds of frames to and from all peers that aren't masked, counted and timed.
 * Knows nothing of rows.
 * Why: docs/decisions/exchange.md#what-a-small-exchange-must-not-do
 */
import { MAX_TIMEOUT_MS } from '../../base/deadline.js';
import { CommError } from '../../base/errors.js';
import { ExchangeStats } from './exchange_stats.js';
import { FRAME_HEADER_BYTES, type Phase, type StepTag } from '../../mesh/frame.js';
import type { Rank } from '../../../base/ids.js';
import { peersOf, type Frame, type GatherEvents, type Mesh } from '../../mesh/mesh.js';
import { RankMask } from './rank_mask.js';
import type { FramePayload, Gathered, Round, RoundFrames, RoundRows, RowCounts } from './round.js';
import type { ArrivedFrame, OnSpan, Span } from './span.js';

/** What a lost or silent peer does to a call. */
export type OnPeerLoss = 'fail' | 'mask';

/** How long a call waits, in ms of running event loop, what a lost peer does to it, and who is told of its stretches. */
export interface ExchangeParts {
  readonly timeoutMs: number;
  readonly onPeerLoss: OnPeerLoss;
  readonly onSpan: OnSpan | undefined;
}

/** The rounds of one rank: sends and gathers frames, keeps the mask, and counts. */
export class Exchange {
  readonly mask: RankMask;
  readonly stats: ExchangeStats;
  private readonly everyPeer: readonly Rank[];
  /** What makes the rest of each payload that may be leaving. */
  private readonly leaving = new Set<() => void>();
  private readonly onFailure = (peer: Rank, error: CommError): boolean => this.masks(peer, error);

  constructor(
    readonly mesh: Mesh,
    private readonly parts: ExchangeParts,
  ) {
    this.mask = new RankMask(mesh);
    this.stats = new ExchangeStats(mesh.size);
    this.everyPeer = peersOf(mesh);
  }

  /** Whether a call goes on without a peer that is lost or silent. */
  get isMasking(): boolean {
    return this.parts.onPeerLoss === 'mask';
  }

  /** Whether no peer is left. Why: docs/decisions/elastic.md#the-last-one-left-is-a-lone-rank */
  get isAlone(): boolean {
    return this.mask.size === this.everyPeer.length;
  }

  /** Peers that aren't masked, ascending. */
  get peers(): readonly Rank[] {
    return this.mask.isEmpty ? this.everyPeer : this.everyPeer.filter((rank) => !this.mask.has(rank));
  }

  /** @throws CommError LIMIT when a frame is too large, before anything is sent, so that a call that can't be made leaves no half of it with the peers. */
  check({ phase, tag, form, peers, countsOf }: RoundFrames & Pick<RoundRows<unknown>, 'countsOf'>): void {
    const { layer } = tag;
    const { maxFrameBytes } = this.mesh;
    for (const rank of peers) {
      const frameBytes = form.frameBytes(countsOf(rank).numRows);
      if (frameBytes <= maxFrameBytes) continue;
      const message =
        `${phase} of layer ${layer} needs ${frameBytes} bytes to rank ${rank}, ` +
        `${maxFrameBytes} allowed; send fewer tokens per call or raise maxFrameBytes`;
      throw new CommError('LIMIT', message, { rank, layer, phase });
    }
  }

  /** `check`, then `send`. */
  start<Own>(round: Round<Own>): () => Promise<Gathered<Own>> {
    this.check(round);
    return this.send(round);
  }

  /**
   * Sends this rank's frames now; what it gives waits for those of the peers. With 'mask', peers that are lost or silent are masked and left out.
   * @throws CommError at once as `Mesh.send`, from what it gives as `Mesh.receive`, a TIMEOUT naming every silent rank.
   */
  send<Own>(round: Round<Own>): () => Promise<Gathered<Own>> {
    const { phase, tag, countsOf } = round;
    const streams: (() => void)[] = [];
    try {
      for (const peer of round.peers) {
        const finish = this.sendFrame(round, peer, countsOf(peer), round.pack(peer));
        if (finish !== undefined) streams.push(finish);
        round.unsent?.delete(peer);
      }
    } catch (error) {
      for (const finish of streams) finish();
      this.finishAll();
      throw error;
    }
    for (const finish of streams) this.leaving.add(finish);
    // Compute may follow in this turn.
    this.mesh.flush();
    const own = round.keep();
    this.count(round, this.mesh.rank, countsOf(this.mesh.rank), 0);
    const sentMs = performance.now();
    this.packed(round, sentMs);
    return async () => {
      const frames = await this.gatherFinally(round, streams);
      const arrivedMs = lastArrival(frames, sentMs);
      this.parts.onSpan?.({
        ...{ phase, part: 'flight', tag, startMs: sentMs, endMs: arrivedMs },
        received: frames.map(arrivedFrame),
      });
      return { own, frames, arrivedMs };
    };
  }

  /** Sends frames without rows that tell of a failure: one that can't leave changes nothing. */
  tell(round: RoundFrames, payload: Uint8Array): void {
    for (const peer of round.peers) {
      try {
        this.sendFrame(round, peer, { numRows: 0 }, { payload });
      } catch (error) {
        if (!(error instanceof CommError)) throw error;
      }
    }
  }

  /** By source rank: the own part and what `read` makes of the peers' frames; undefined where a masked rank sent none. */
  bySource<T>({ own, frames }: Gathered<T>, read: (frame: Frame) => T): (T | undefined)[] {
    const bySource = new Array<T | undefined>(this.mesh.size).fill(undefined);
    bySource[this.mesh.rank] = own;
    for (const frame of frames) bySource[frame.header.source] = read(frame);
    return bySource;
  }

  /** Tells the timeline, if there is one. */
  span(phase: Phase, part: Span['part'], tag: StepTag, startMs: number, endMs?: number): void {
    this.parts.onSpan?.({ phase, part, tag, startMs, endMs: endMs ?? performance.now() });
  }

  /** Tells the timeline, if there is one, what left to whom. */
  private packed({ phase, tag, startMs, peers, form, countsOf }: Round<unknown>, endMs: number): void {
    if (this.parts.onSpan === undefined) return;
    const sent = peers.map((peer) => {
      const { numRows } = countsOf(peer);
      return { peer, numRows, bytes: form.frameBytes(numRows) };
    });
    this.parts.onSpan({ phase, part: 'pack', tag, startMs, endMs, sent });
  }

  /** With 'mask', a peer whose link is lost is masked instead of an error. Of a payload that is made while it leaves, returns what makes the rest. */
  private sendFrame(round: RoundFrames, to: Rank, counts: RowCounts, sent: FramePayload): (() => void) | undefined {
    const { tag, form } = round;
    const payloadBytes = bytesOf(sent);
    let finish: (() => void) | undefined;
    // Field by field: spreading objects takes longer than sending a small frame.
    const header = {
      phase: round.phase,
      source: this.mesh.rank,
      destination: to,
      step: tag.step,
      layer: tag.layer,
      microBatch: tag.microBatch,
      epoch: tag.epoch,
      numRows: counts.numRows,
      hidden: form.hidden,
      numTopk: form.numTopk,
      dtype: form.dtype,
      flags: form.flags,
      payloadBytes,
    };
    try {
      if ('stream' in sent) finish = this.mesh.stream(to, header, sent.stream);
      else if ('parts' in sent) this.mesh.send(to, header, sent.parts);
      else if (sent.isOwn === true) this.mesh.give(to, header, sent.payload);
      else this.mesh.send(to, header, [sent.payload]);
    } catch (error) {
      if (!this.masks(to, error)) throw error;
      return undefined;
    }
    this.count(round, to, counts, FRAME_HEADER_BYTES + payloadBytes);
    return finish;
  }

  /** When it is over, what it was sending is made: what that is made of may change. After a failure that of other rounds too, whose hooks may never be called. */
  private async gatherFinally(round: Round<unknown>, streams: readonly (() => void)[]): Promise<Frame[]> {
    try {
      const frames = await this.gather(round);
      // Compute may follow, and peers would wait as long for what is still leaving.
      const leaving = this.mesh.settle();
      if (leaving !== undefined) await leaving;
      for (const finish of streams) {
        finish();
        this.leaving.delete(finish);
      }
      return frames;
    } catch (error) {
      this.finishAll();
      throw error;
    }
  }

  private finishAll(): void {
    for (const finish of this.leaving) finish();
    this.leaving.clear();
  }

  private count({ phase, tag }: RoundFrames, to: Rank, counts: RowCounts, bytes: number): void {
    const { numRows: rows, numTokens: tokens = rows } = counts;
    this.stats.sent(phase, tag.layer, to, tokens, rows, bytes);
  }

  private gather({
    phase,
    tag,
    signal,
    peers,
    sources = peers,
    patience = 1,
  }: Round<unknown>): Frame[] | Promise<Frame[]> {
    const { isMasking } = this;
    // Whoever forwards may have waited with grace itself.
    const numDeadlines = isMasking && patience > 1 ? patience + 1 : patience;
    const timeoutMs = Math.min(this.parts.timeoutMs * numDeadlines, MAX_TIMEOUT_MS);
    const { step, layer, microBatch, epoch } = tag;
    const key = { phase, step, layer, microBatch, epoch };
    const events: GatherEvents = {
      graceMs: isMasking ? this.parts.timeoutMs : 0,
      onFrame: (peer, waitMs) => this.stats.waited(phase, layer, peer, waitMs),
      onFailure: this.onFailure,
    };
    return this.mesh.gather(sources, key, { timeoutMs, signal }, events);
  }

  /** Whether the call goes on without this peer. */
  private masks(peer: Rank, error: unknown): boolean {
    if (this.mask.has(peer)) return true;
    if (this.parts.onPeerLoss === 'fail' || !(error instanceof CommError)) return false;
    if (error.code !== 'PEER_LOST' && error.code !== 'TIMEOUT') return false;
    this.mask.add(peer);
    return true;
  }
}

const arrivedFrame = ({ header, arrivedMs }: Frame): ArrivedFrame => ({
  ...{ peer: header.source, numRows: header.numRows },
  ...{ bytes: FRAME_HEADER_BYTES + header.payloadBytes, arrivedMs },
});

function bytesOf(sent: FramePayload): number {
  if ('stream' in sent) return sent.stream.numBytes;
  if ('parts' in sent) return sent.parts.reduce((sum, part) => sum + part.byteLength, 0);
  return sent.payload.byteLength;
}

/** When the last of the frames came, not before `sentMs`: a faster peer's may have been here then. */
function lastArrival(frames: readonly Frame[], sentMs: number): number {
  let last = sentMs;
  for (const { arrivedMs } of frames) last = Math.max(last, arrivedMs);
  return last;
}
