/** Plain frames over the mesh, without the all-to-all: many of one size at once, or one there and back. */
import { asRank, type FrameHeader, type Mesh, type Wait } from '../../../comm/index.js';
import type { Recorder } from './recorder.js';

const WAIT: Wait = { timeoutMs: 3_600_000 };

interface Batch {
  /** Payload of a frame. */
  readonly bytes: number;
  /** Frames per pair. */
  readonly count: number;
}

/** Every rank sends `count` frames to every other while it receives theirs; steps from `firstStep` on are used. */
export async function timeMessages(
  mesh: Mesh,
  { bytes, count }: Batch,
  firstStep: number,
  recorder: Recorder,
): Promise<void> {
  const payload = new Uint8Array(bytes);
  const peers = Array.from({ length: mesh.size }, (_, peer) => peer).filter((peer) => peer !== mesh.rank);
  await recorder.time('message', async () => {
    for (const peer of peers) {
      for (let i = 0; i < count; i++) send(mesh, peer, firstStep + i, payload);
    }
    await Promise.all(
      peers.map(async (peer) => {
        for (let i = 0; i < count; i++) await receive(mesh, peer, firstStep + i);
      }),
    );
  });
}

/** Rank 1 returns what rank 0 sends. */
export async function timeEcho(mesh: Mesh, bytes: number, step: number, recorder: Recorder): Promise<void> {
  if (mesh.rank > 1) return;
  const peer = 1 - mesh.rank;
  const payload = new Uint8Array(bytes);
  if (mesh.rank === 1) {
    await receive(mesh, peer, step);
    send(mesh, peer, step, payload);
    return;
  }
  await recorder.time('echo', async () => {
    send(mesh, peer, step, payload);
    await receive(mesh, peer, step);
  });
}

/** Literals in one piece: an object spread per message takes longer than sending it. */
function send(mesh: Mesh, peer: number, step: number, payload: Uint8Array): void {
  const destination = asRank(peer);
  const header: FrameHeader = {
    phase: 'dispatch',
    source: mesh.rank,
    destination,
    step,
    layer: 0,
    microBatch: 0,
    epoch: 0,
    numRows: 0,
    hidden: 0,
    numTopk: 0,
    dtype: 'f32',
    flags: 0,
    payloadBytes: payload.byteLength,
  };
  mesh.send(destination, header, [payload]);
}

async function receive(mesh: Mesh, peer: number, step: number): Promise<void> {
  const key = { phase: 'dispatch', step, layer: 0, microBatch: 0, epoch: 0 } as const;
  const { release } = await mesh.receive(asRank(peer), key, WAIT);
  release?.();
}
