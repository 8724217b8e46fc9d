/**
 * Choices that replace the gate's, for experiments: from a synthetic load or a recording. A choice depends on the request's number, the token's position and
 * the MoE layer alone, so it is the same whatever the ranks and the batching. Shape suffixes: L MoE layers, E logical experts, K choices per token.
 */
import { ExpertError } from '../../compute/base/errors.js';
import { countsOf, type ExpertCounts } from '../placement/expert_counts.js';
import { hashUniform, permutation, randomFrom } from './random.js';
import { syntheticLoads, type LoadPattern } from './synthetic_load.js';

/** The model's MoE layers: L, E and K. */
export interface RoutingShape {
  readonly numLayers: number;
  readonly numExperts: ExpertCounts;
  readonly numTopk: number;
}

/** Where the choices come from that replace the gate's. */
export interface RoutingSource {
  /** Writes the experts of one token to `out` [L·K], K different ones per layer, or NO_EXPERT where a recorded gate chose fewer. Requests and positions count from 0. */
  choose(request: number, position: number, out: Uint16Array): void;
}

/** Positions that share a window of a changing load. */
export const POSITIONS_PER_WINDOW = 16;
/** Windows that are kept; later positions begin again with the first. */
export const MAX_ROUTING_WINDOWS = 256;
/** So many choices that windows don't scatter around what is expected. */
const NUM_CHOICES = 2 ** 40;

/** Tokens are spread as a synthetic load says; `drift` moves on every {@link POSITIONS_PER_WINDOW} positions. Seed default 0. */
export function syntheticRouting(pattern: LoadPattern, shape: RoutingShape, seed = 0): RoutingSource {
  const { numLayers, numExperts } = shape;
  const loads = syntheticLoads(pattern, { numLayers, numExperts, numChoices: NUM_CHOICES, seed });
  const isChanging = pattern.kind === 'drift';
  const windows: (readonly ArrayLike<number>[])[] = [];
  return sampledRouting(shape, seed, (position) => {
    const window = isChanging ? Math.floor(position / POSITIONS_PER_WINDOW) % MAX_ROUTING_WINDOWS : 0;
    while (windows.length <= window) windows.push(loads.next().value);
    return windows[window]!;
  });
}

/** Tokens are spread as recorded windows [W][L][E] say, {@link POSITIONS_PER_WINDOW} positions each, over and over. Seed default 0. */
export function windowedRouting(
  windows: readonly (readonly ArrayLike<number>[])[],
  shape: RoutingShape,
  seed = 0,
): RoutingSource {
  if (windows.length === 0) throw new ExpertError('INVALID_ARGUMENT', 'no load to route by; give at least one window');
  return sampledRouting(
    shape,
    seed,
    (position) => windows[Math.floor(position / POSITIONS_PER_WINDOW) % windows.length]!,
  );
}

/** Tokens go where recorded ones went: request r as the recording's r-th, modulo their number, position p as its p-th token, modulo its length. */
export function replayedRouting(requests: readonly Uint16Array[], shape: RoutingShape): RoutingSource {
  const width = shape.numLayers * shape.numTopk;
  if (requests.length === 0) throw new ExpertError('INVALID_ARGUMENT', 'no tokens to route by; give at least one');
  return {
    choose(request, position, out) {
      const tokens = requests[request % requests.length]!;
      const from = (position % (tokens.length / width)) * width;
      out.set(tokens.subarray(from, from + width));
    },
  };
}

type LoadAt = (position: number) => readonly ArrayLike<number>[];

/**
 * K different experts per token by systematic sampling (W. Madow 1949): expert e is chosen with probability min(1, K · share of e), exactly, from one number
 * per token and layer. An expert's share of the choices is therefore at most 1/K; what is above goes to the others.
 */
function sampledRouting({ numLayers, numExperts, numTopk }: RoutingShape, seed: number, loadAt: LoadAt): RoutingSource {
  // Neighbours on the scale exclude each other, so it has an order of its own per layer.
  const orders = countsOf(numExperts, numLayers).map((count, l) =>
    permutation(count, randomFrom(Math.floor(hashUniform(seed, l) * 2 ** 32))),
  );
  const scales = new Map<readonly ArrayLike<number>[], readonly Float64Array[]>();
  const scalesAt = (position: number): readonly Float64Array[] => {
    const load_LE = loadAt(position);
    let scale_LE = scales.get(load_LE);
    if (scale_LE === undefined) {
      scale_LE = orders.map((order, l) => scaleOf(load_LE[l]!, order, numTopk));
      scales.set(load_LE, scale_LE);
    }
    return scale_LE;
  };
  return {
    choose(request, position, out) {
      const scale_LE = scalesAt(position);
      for (let l = 0; l < numLayers; l++) {
        const [scale_E, order] = [scale_LE[l]!, orders[l]!];
        const start = hashUniform(seed, request, position, l);
        let place = -1;
        for (let k = 0; k < numTopk; k++) {
          // Bounded by what keeps choices different, should rounding put two into one expert.
          place = Math.min(Math.max(firstAbove(scale_E, start + k), place + 1), order.length - numTopk + k);
          out[l * numTopk + k] = order[place]!;
        }
      }
    },
  };
}

/** Running sums [E], in `order`, of the probabilities with which a token chooses each expert; the last is K. */
function scaleOf(load_E: ArrayLike<number>, order: Int32Array, numTopk: number): Float64Array {
  const probability_E = inclusionProbabilities(load_E, numTopk);
  const scale_E = new Float64Array(order.length);
  let sum = 0;
  order.forEach((expert, i) => (scale_E[i] = sum += probability_E[expert]!));
  // Rounding must leave a place for the last choice.
  for (let i = order.length - 1; i >= 0 && scale_E[i]! >= sum; i--) scale_E[i] = numTopk;
  return scale_E;
}

/** min(1, c · load), c such that they sum to K; without enough loaded experts, the rest falls on the others evenly. */
function inclusionProbabilities(load_E: ArrayLike<number>, numTopk: number): Float64Array {
  const probability_E = new Float64Array(load_E.length);
  let open = Array.from({ length: load_E.length }, (_, e) => e);
  let left = numTopk;
  while (open.length > 0 && left > 0) {
    const sum = open.reduce((total, e) => total + load_E[e]!, 0);
    const wanted = (e: number): number => (sum > 0 ? (left * load_E[e]!) / sum : left / open.length);
    const full = open.filter((e) => wanted(e) >= 1);
    if (full.length === 0) {
      for (const e of open) probability_E[e] = wanted(e);
      break;
    }
    for (const e of full) probability_E[e] = 1;
    left -= full.length;
    open = open.filter((e) => probability_E[e] === 0);
  }
  return probability_E;
}

/** Index of the first value above `at`, of ascending ones. */
function firstAbove(values: Float64Array, at: number): number {
  let [low, high] = [0, values.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! > at) high = middle;
    else low = middle + 1;
  }
  return low;
}
