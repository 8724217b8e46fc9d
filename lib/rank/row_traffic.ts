/** When rows of experts that move leave this rank and arrive here, step by step: for a timeline. */
import type { Mesh } from '../../comm/mesh/mesh.js';
import { timelineEvent, type TimelineEvent } from '../metrics/timeline.js';

type RowMesh = Pick<Mesh, 'rank' | 'send' | 'receive'>;

/** One direction in one step. */
interface Traffic {
  numFrames: number;
  bytes: number;
  /** Of the last frame, in ms of `performance.now()`. */
  endMs: number;
}

/** Stands between a mesh and what moves experts over it. */
export class RowTraffic {
  /** What moves experts uses this one. */
  readonly mesh: RowMesh;
  private startMs = 0;
  private sent = nothing();
  private received = nothing();

  constructor(mesh: RowMesh) {
    this.mesh = {
      rank: mesh.rank,
      send: (to, header, payload) => {
        mesh.send(to, header, payload);
        count(this.sent, header.payloadBytes, performance.now());
      },
      receive: async (from, key, wait) => {
        const { received } = this; // of the step that waits
        const frame = await mesh.receive(from, key, wait);
        count(received, frame.payload.byteLength, frame.arrivedMs);
        return frame;
      },
    };
  }

  /** A step begins: what earlier ones moved is forgotten. */
  begin(): void {
    this.startMs = performance.now();
    this.sent = nothing();
    this.received = nothing();
  }

  /** From the step's beginning to the last frame, per direction; nothing where no frame moved. */
  events(step: number): TimelineEvent[] {
    const { startMs } = this;
    return (['sent', 'received'] as const).flatMap((track) => {
      const { numFrames, bytes, endMs } = this[track];
      if (numFrames === 0) return [];
      return [timelineEvent(`rows of experts ${track}`, track, startMs, endMs, { step, numFrames, bytes })];
    });
  }
}

const nothing = (): Traffic => ({ numFrames: 0, bytes: 0, endMs: 0 });

function count(traffic: Traffic, bytes: number, atMs: number): void {
  traffic.numFrames++;
  traffic.bytes += bytes;
  traffic.endMs = Math.max(traffic.endMs, atMs);
}
