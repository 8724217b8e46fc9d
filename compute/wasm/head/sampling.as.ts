/** What sampling asks of a row of logits, without its leaving the memory: the same answers as lib/rank/sampler.ts. */
import { firstNonFinite } from '../router/router.as';

const ABS_MASK: i32 = 0x7fffffff;
const INFINITY_BITS: i32 = 0x7f800000;

/** Index of the largest of `count` logits (at least one), the lowest one on ties; −1 − i where logit i is the first that isn't finite. */
export function argmax(logits: usize, count: i32): i32 {
  // 1. Without their sign, floats are ordered as integers are, NaN and infinity last.
  const mask = i32x4.splat(ABS_MASK);
  let top = i32x4.splat(0);
  let highest = f32x4.splat(-f32.MAX_VALUE);
  let i = 0;
  for (; i + 4 <= count; i += 4) {
    const values = v128.load(at(logits, i));
    top = i32x4.max_s(top, v128.and(values, mask));
    highest = f32x4.pmax(highest, values);
  }
  for (; i < count; i++) {
    const value = v128.load32_splat(at(logits, i));
    top = i32x4.max_s(top, v128.and(value, mask));
    highest = f32x4.pmax(highest, value);
  }
  if (v128.any_true(i32x4.ge_s(top, i32x4.splat(INFINITY_BITS)))) return -1 - firstNonFinite(logits, count);
  return indexOf(logits, largestLane(highest));
}

function largestLane(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** The first place of a value that is there. */
function indexOf(logits: usize, value: f32): i32 {
  let i = 0;
  while (load<f32>(at(logits, i)) != value) i++;
  return i;
}

/**
 * out i32 [k]: indices of the k largest of `count` finite logits, best first, the lower index on ties; 1 ≤ k ≤ count.
 * A heap of the best so far, the worst of them at its root: what doesn't beat the root is passed four at a time.
 */
export function topk(logits: usize, count: i32, k: i32, out: usize): void {
  for (let i = 0; i < k; i++) store<i32>(at(out, i), i);
  for (let node = (k >> 1) - 1; node >= 0; node--) sink(logits, out, k, node);
  let i = k;
  while (i < count) {
    const worst = load<f32>(at(logits, load<i32>(out)));
    if (i + 4 <= count && !v128.any_true(f32x4.gt(v128.load(at(logits, i)), f32x4.splat(worst)))) {
      i += 4;
      continue;
    }
    if (load<f32>(at(logits, i)) > worst) {
      store<i32>(out, i);
      sink(logits, out, k, 0);
    }
    i++;
  }
  for (let size = k - 1; size > 0; size--) {
    swap(out, 0, size);
    sink(logits, out, size, 0);
  }
}

/** Moves a node down until both children are better. */
function sink(logits: usize, heap: usize, size: i32, node: i32): void {
  while (true) {
    let child = 2 * node + 1;
    if (child >= size) return;
    if (child + 1 < size && isWorse(logits, heap, child + 1, child)) child++;
    if (isWorse(logits, heap, node, child)) return;
    swap(heap, node, child);
    node = child;
  }
}

function isWorse(logits: usize, heap: usize, a: i32, b: i32): bool {
  const first = load<i32>(at(heap, a));
  const second = load<i32>(at(heap, b));
  const logit = load<f32>(at(logits, first));
  const other = load<f32>(at(logits, second));
  return logit < other || (logit == other && first > second);
}

function swap(heap: usize, a: i32, b: i32): void {
  const held = load<i32>(at(heap, a));
  store<i32>(at(heap, a), load<i32>(at(heap, b)));
  store<i32>(at(heap, b), held);
}

/** Of the i-th value of four bytes. */
function at(base: usize, i: i32): usize {
  return base + ((<usize>i) << 2);
}
