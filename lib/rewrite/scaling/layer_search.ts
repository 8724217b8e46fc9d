/**
 * Factors of one layer's channels that change its experts' outputs least when weights are rounded, on rows of a text: one share for what goes into all experts, then one for what goes into each
 * down_proj. Nothing at all is among what is tried, so no layer becomes worse on these rows. Why: docs/decisions/formats.md#channels-are-scaled-by-powers-of-two
 */
import { canScaleInner, canScaleInputs, type LayerScaling } from '../quantise/scaling.js';
import { CalibratedExpert, type Roundings } from './calibrated_expert.js';
import { candidates } from './channel_factors.js';
import type { LayerRows } from './expert_rows.js';

/** What was found of a layer. */
export interface FoundScaling {
  readonly scaling: LayerScaling;
  /** Of the input's channels; 0: they stay. */
  readonly share: number;
  /** Root mean square of what rounding changes in experts' outputs, weighted as tokens weigh them, as a share of theirs: without factors, and with them. */
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/** @throws RewriteError NOT_FINITE; WeightError as the reads; the signal's reason */
export async function searchLayer(roundings: Roundings, seen: LayerRows): Promise<FoundScaling> {
  const { layer, sums_H } = seen;
  const { spec } = roundings.source;
  const all = candidates(sums_H);
  const tried = canScaleInputs(spec) ? all : all.slice(0, 1);
  const errors = tried.map(() => 0);
  let whole = 0;
  const ones_I = new Float32Array(spec.moe.intermediateSize).fill(1);
  await eachExpert(roundings, seen, (expert) => {
    const reference = expert.outputs(expert.inner(null), null);
    whole += expert.squares(reference);
    tried.forEach(({ factors }, i) => {
      errors[i]! += expert.squares(expert.outputs(expert.inner(factors), ones_I), reference);
    });
  });
  const best = errors.reduce((least, error, i) => (error < errors[least]! ? i : least), 0); // the first where all are NaN
  const { share, factors } = tried[best]!;
  const inner = new Map<number, Float32Array>();
  let after = 0;
  await eachExpert(roundings, seen, (expert, number) => {
    const found = searchInner(expert, factors, canScaleInner(spec));
    after += found.error;
    if (found.share > 0) inner.set(number, found.factors);
  });
  const relative = (error: number): number => (whole === 0 ? 0 : Math.sqrt(error / whole));
  const scaling = { layer, inputs: share === 0 ? null : factors, inner };
  return { scaling, share, errorBefore: relative(errors[0]!), errorAfter: relative(after) };
}

/** Where rows share no scale, those of up_proj are rounded the same whatever their factor, and what goes into down_proj is the same for all. */
function searchInner(expert: CalibratedExpert, inputs: Float32Array, mayScale: boolean): InnerFactors {
  const exact_NI = expert.inner(null);
  const reference = expert.outputs(exact_NI, null);
  const inner_NI = expert.inner(inputs);
  const all = candidates(magnitudesOf(exact_NI, inputs.length, reference.length));
  const canScale = mayScale && expert.rounds('up_proj') && expert.rounds('down_proj');
  const tried = (canScale ? all : all.slice(0, 1)).map(({ share, factors }) => {
    const own_NI = expert.sharesRows && share > 0 ? expert.inner(inputs, factors) : inner_NI;
    return { share, factors, error: expert.squares(expert.outputs(own_NI, factors), reference) };
  });
  return tried.reduce((best, other) => (other.error < best.error ? other : best));
}

interface InnerFactors {
  readonly share: number;
  readonly factors: Float32Array;
  readonly error: number;
}

/** [I] Σ |x| over rows. */
function magnitudesOf(inner_NI: Float32Array, hidden: number, numOutputs: number): Float64Array {
  const width = inner_NI.length / (numOutputs / hidden);
  const sums = new Float64Array(width);
  for (let i = 0; i < inner_NI.length; i++) sums[i % width]! += Math.abs(inner_NI[i]!);
  return sums;
}

/** Those that have rows; the others' weights stay as they are. */
async function eachExpert(
  roundings: Roundings,
  { layer, rows_E }: LayerRows,
  use: (expert: CalibratedExpert, number: number) => void,
): Promise<void> {
  for (const [number, rows] of rows_E.entries()) {
    if (rows.length === 0) continue;
    roundings.signal?.throwIfAborted();
    use(await CalibratedExpert.read(roundings, layer, number, rows), number);
    await breath();
  }
}

/** Lets others run: links of ranks, progress, a signal. */
const breath = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
