/** The few collectives that start and stop a job: small payloads, one frame per pair, no tree. */
import { checkTimeout } from '../base/deadline.js';
import { CommError } from '../base/errors.js';
import type { FrameHeader, FrameKey, Phase } from './frame.js';
import type { Rank } from '../../base/ids.js';
import { peersOf, type Mesh } from './mesh.js';

/** How long calls wait, in which epoch, and for whom. */
export interface CollectivesOptions {
  /** How long one call waits for all its peers, in ms of running event loop. Default 10000. */
  readonly timeoutMs?: number;
  /** Membership epoch of all calls. After `mesh.advanceEpoch` make new collectives with the new epoch. Default 0. */
  readonly epoch?: number;
  /** Ranks that take no part, such as lost ones: nothing is sent to them or expected of them. Default: none. */
  readonly absent?: readonly Rank[];
}

/**
 * Every rank calls the same collectives in the same order: they are matched by a sequence number.
 * @throws CommError PEER_LOST, TIMEOUT, ABORTED, CLOSED, LIMIT or INVALID_ARGUMENT, from each of them
 */
export interface Collectives {
  /** Returns once every rank called it. */
  barrier(signal?: AbortSignal): Promise<void>;
  /** `bytes` of rank `root`, on every rank; the others pass nothing. The root doesn't wait for the others. */
  broadcast(root: Rank, bytes?: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>;
  /** Every rank's bytes, by rank; lengths may differ. An absent rank's are empty. */
  allGather(bytes: Uint8Array, signal?: AbortSignal): Promise<Uint8Array[]>;
}

/** The collectives of this rank. Make one per mesh and epoch: two would use the same sequence numbers. */
export function createCollectives(mesh: Mesh, options: CollectivesOptions = {}): Collectives {
  return new MeshCollectives(mesh, options);
}

const NO_BYTES = new Uint8Array(0);

class MeshCollectives implements Collectives {
  private readonly peers: readonly Rank[];
  private readonly timeoutMs: number;
  private readonly epoch: number;
  private nextStep = 0;

  constructor(
    private readonly mesh: Mesh,
    { timeoutMs = 10000, epoch = 0, absent = [] }: CollectivesOptions,
  ) {
    this.peers = peersOf(mesh).filter((peer) => !absent.includes(peer));
    this.timeoutMs = checkTimeout(timeoutMs);
    this.epoch = epoch;
  }

  async barrier(signal?: AbortSignal): Promise<void> {
    await this.exchange(this.nextKey('barrier'), NO_BYTES, signal);
  }

  async broadcast(root: Rank, bytes?: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    const key = this.nextKey('broadcast');
    if (!Number.isInteger(root) || root < 0 || root >= this.mesh.size) {
      throw new CommError('INVALID_ARGUMENT', `root is ${root}; pass a rank from 0 to ${this.mesh.size - 1}`);
    }
    if (root !== this.mesh.rank) {
      const [frame] = await this.mesh.gather([root], key, { timeoutMs: this.timeoutMs, signal });
      return frame!.payload;
    }
    if (bytes === undefined) throw new CommError('INVALID_ARGUMENT', `rank ${root} is the root; pass it the bytes`);
    const sent = bytes.slice(); // the caller may change its own before they have left
    for (const peer of this.peers) this.send(peer, key, sent);
    return bytes;
  }

  async allGather(bytes: Uint8Array, signal?: AbortSignal): Promise<Uint8Array[]> {
    return this.exchange(this.nextKey('all_gather'), bytes.slice(), signal);
  }

  private async exchange(key: FrameKey, bytes: Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array[]> {
    for (const peer of this.peers) this.send(peer, key, bytes);
    const all = new Array<Uint8Array>(this.mesh.size).fill(NO_BYTES);
    all[this.mesh.rank] = bytes;
    const frames = await this.mesh.gather(this.peers, key, { timeoutMs: this.timeoutMs, signal });
    for (const { header, payload } of frames) all[header.source] = payload;
    return all;
  }

  private nextKey(phase: Phase): FrameKey {
    const key = { phase, step: this.nextStep, layer: 0, microBatch: 0, epoch: this.epoch };
    this.nextStep = (this.nextStep + 1) % 0x1_0000_0000;
    return key;
  }

  private send(to: Rank, key: FrameKey, bytes: Uint8Array): void {
    const { phase, step, layer, microBatch, epoch } = key;
    const header: FrameHeader = {
      phase,
      source: this.mesh.rank,
      destination: to,
      step,
      layer,
      microBatch,
      epoch,
      numRows: 0,
      hidden: 0,
      numTopk: 0,
      dtype: 'f32',
      flags: 0,
      payloadBytes: bytes.byteLength,
    };
    this.mesh.send(to, header, [bytes]);
  }
}
