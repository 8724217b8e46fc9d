/** Sends one reader what it wants of a sequence, layer by layer, as soon as it is there. */
import { setImmediate as turn } from 'node:timers/promises';
import { rowsPerFrame } from '../../../comm/kv/kv_frames.js';
import type { KvReader, KvWish } from '../../../comm/kv/kv_link.js';
import type { KvCache } from '../../model/decoder/decoder.js';
import type { Lease } from './lease.js';

/**
 * Time that rows may be read before sockets and steps get their turn: a layer of a step that computes leaves at once, since its next one would keep the event loop
 * for as long as it takes.
 */
const TURN_AFTER_MS = 5;

/** Resolves when all was sent, the lease is over or the reader is gone; an error ends the link. */
export async function readAlong(reader: KvReader, lease: Lease, cache: Pick<KvCache, 'readRows'>): Promise<void> {
  const { wish, gone } = reader;
  const sent = new Array<number>(wish.numLayers).fill(wish.from);
  let turnedMs = performance.now();
  const isOver = (): boolean => lease.isOver || gone.aborted;
  try {
    while (!isOver() && sent.some((numSent) => numSent < wish.to)) {
      const next = nextRows(wish, sent, lease.written);
      if (next === null) {
        await lease.news(); // also when the reader leaves
        turnedMs = performance.now();
        continue;
      }
      const { layer, from, to } = next;
      const rows = await cache.readRows(lease.blocks, layer, from, to);
      if (isOver()) return;
      sent[layer] = to;
      await reader.send({ layer, token: from, rows });
      if (performance.now() - turnedMs < TURN_AFTER_MS) continue;
      await turn();
      turnedMs = performance.now();
    }
  } catch (error) {
    reader.end(error);
  }
}

/** What can be sent now: of the first layer that has something. */
function nextRows(
  wish: KvWish,
  sent: readonly number[],
  written: readonly number[],
): { readonly layer: number; readonly from: number; readonly to: number } | null {
  const most = rowsPerFrame(wish);
  for (const [layer, from] of sent.entries()) {
    const to = Math.min(wish.to, written[layer]!, from + most);
    if (to > from) return { layer, from, to };
  }
  return null;
}
