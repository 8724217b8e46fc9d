/** Expert load and placement as the live page gets them: bytes instead of numbers. Shape suffixes: L MoE layers, E logical experts, R ranks. */
import type { Placement } from '../../../experts/placement/placement.js';
import type { LiveLoad, LivePlacement } from './messages.js';

/** A byte per layer and expert: of 60 × 256 experts 20 KiB. */
export function loadPicture(load_LE: readonly Float64Array[]): LiveLoad {
  const numExperts = load_LE.reduce((most, load_E) => Math.max(most, load_E.length), 0);
  let maxLoad = 0;
  for (const load_E of load_LE) for (const load of load_E) if (load > maxLoad) maxLoad = load;
  const bytes_LE = new Uint8Array(load_LE.length * numExperts);
  for (const [layer, load_E] of load_LE.entries()) {
    for (let e = 0; e < load_E.length; e++) bytes_LE[layer * numExperts + e] = byteOf(load_E[e]!, maxLoad);
  }
  const total_L = load_LE.map((load_E) => Math.round(100 * load_E.reduce((a, b) => a + b, 0)) / 100);
  return { base64: Buffer.from(bytes_LE).toString('base64'), maxLoad: Math.round(100 * maxLoad) / 100, total_L };
}

/** An expert that was chosen at all is never drawn as one that wasn't. */
const byteOf = (load: number, maxLoad: number): number =>
  load <= 0 ? 0 : Math.max(1, Math.round(255 * Math.sqrt(load / maxLoad)));

/** Where experts are; what absent ranks held is still in it. */
export function placementPicture(placement: Placement, absentRanks: readonly number[]): LivePlacement {
  const { version, slotsPerRank, phy2log } = placement;
  const isSame = (layer: number): boolean => {
    const [a, b] = [phy2log[layer]!, phy2log[layer - 1]];
    return b !== undefined && (a === b || a.every((logical, p) => logical === b[p]));
  };
  const phy2logBase64 = phy2log.map((table, layer) => (isSame(layer) ? null : base64Of(table)));
  return { version, slotsPerRank, phy2logBase64, absentRanks: [...absentRanks] };
}

function base64Of(table: Int32Array): string {
  const bytes = Buffer.alloc(2 * table.length);
  for (const [p, logical] of table.entries()) bytes.writeUInt16LE(logical & 0xffff, 2 * p);
  return bytes.toString('base64');
}
