/** Ranks that swap frames whose bytes follow from who sends them and when, with pauses of any length between: each must come, whole, once. */
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { asRank, type FrameKey, type Mesh } from '../../../comm/index.js';

const WAIT = { timeoutMs: 60_000 };
/** Small ones go through shared memory, large ones change hands. */
const SIZES = [0, 1, 4, 500, 4096, 16_000, 20_000, 100_000];

/** Looks random, and is the same on every rank. */
const mixed = (step: number, rank: number): number => Math.imul(step * 64 + rank + 1, 0x9e3779b1) >>> 0;

export const swapKey = (step: number): FrameKey => ({ phase: 'dispatch', step, layer: 0, microBatch: 0, epoch: 0 });

/** The frame of a step: its size and bytes follow from the step and its sender. */
export function sendFrame(mesh: Mesh, to: number, step: number): void {
  const size = SIZES[mixed(step, mesh.rank) % SIZES.length]!;
  const payload = mesh.memory.allocate(size).fill(step + mesh.rank);
  const route = { ...swapKey(step), source: mesh.rank, destination: asRank(to), payloadBytes: size };
  mesh.give(asRank(to), { ...route, numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0 }, payload);
}

/** Takes that frame. @throws Error where it isn't as it was sent, CommError where it doesn't come. */
export async function takeFrame(mesh: Mesh, from: number, step: number): Promise<void> {
  const { payload, release } = await mesh.receive(asRank(from), swapKey(step), WAIT);
  const size = SIZES[mixed(step, from) % SIZES.length]!;
  const byte = (step + from) & 0xff;
  if (payload.byteLength !== size || !payload.every((each) => each === byte)) {
    throw new Error(`frame ${step} of rank ${from} came with ${payload.byteLength} bytes, ${size} expected, or others`);
  }
  release?.();
}

/** Swaps a frame with every other rank, so many times. */
export async function swapFrames(mesh: Mesh, numSteps: number): Promise<void> {
  const peers = Array.from({ length: mesh.size }, (_, rank) => rank).filter((rank) => rank !== mesh.rank);
  for (let step = 0; step < numSteps; step++) {
    await pause(mixed(step, mesh.rank + 7) % 16);
    for (const peer of peers) sendFrame(mesh, peer, step);
    for (const peer of peers) await takeFrame(mesh, peer, step);
  }
}

/** Mostly none; else a turn of the event loop, a short sleep, or a while in which it doesn't turn. */
async function pause(kind: number): Promise<void> {
  if (kind === 0) await delay(1);
  if (kind === 1) await turn();
  if (kind !== 2) return;
  const endMs = performance.now() + 0.3;
  while (performance.now() < endMs);
}
