/**
 * One row's softmax, in passes over vectors side by side, each of which ends in memory: so two become one of 256 bits where there are such.
 * Why: docs/decisions/kernels.md#what-v8-may-join
 */
import { exp4, exp8 } from '../linear/math.as';

/** Scores that are gone through at once. */
const SCORES: i32 = 16;

/**
 * scores[key] → exp(score − the highest), for keys start … end − 1; returns their sum. `scores` is where key 0 would be. Keys that share vectors with them
 * become 0: a key's place is its position modulo SCORES, so the order of the sum depends on positions alone. `sink`: one more score in the sum; −∞ = none.
 * `lanes`: room for SCORES floats.
 */
export function softmaxRow(scores: usize, start: i32, end: i32, sink: f32, lanes: usize): f32 {
  const from = scores + ((<usize>(start & ~(SCORES - 1))) << 2);
  const to = scores + ((<usize>((end + SCORES - 1) & ~(SCORES - 1))) << 2);
  const first = scores + ((<usize>start) << 2);
  const last = scores + ((<usize>end) << 2);
  fillEdges(from, first, last, to, -Infinity);
  topsOf(from, to, sink, lanes);
  const highest = highestOf(lanes);
  // Not −∞: what underflows takes the processor a hundred times as long.
  fillEdges(from, first, last, to, highest);
  for (let at = from; at < to; at += 32) exp8(at, highest, at);
  fillEdges(from, first, last, to, 0);
  sumsOf(from, to, lanes);
  const sum = sumOf(lanes);
  return sink == -Infinity ? sum : sum + f32x4.extract_lane(exp4(f32x4.splat(sink - highest)), 0);
}

function fillEdges(from: usize, first: usize, last: usize, to: usize, value: f32): void {
  for (; from < first; from += 4) store<f32>(from, value);
  for (; last < to; last += 4) store<f32>(last, value);
}

function topsOf(from: usize, to: usize, sink: f32, lanes: usize): void {
  let a = f32x4.splat(sink);
  let b = a;
  let c = a;
  let d = a;
  for (; from < to; from += 64) {
    a = f32x4.max(a, v128.load(from));
    b = f32x4.max(b, v128.load(from, 16));
    c = f32x4.max(c, v128.load(from, 32));
    d = f32x4.max(d, v128.load(from, 48));
  }
  v128.store(lanes, a);
  v128.store(lanes, b, 16);
  v128.store(lanes, c, 32);
  v128.store(lanes, d, 48);
}

function highestOf(lanes: usize): f32 {
  const tops = f32x4.max(
    f32x4.max(v128.load(lanes), v128.load(lanes, 16)),
    f32x4.max(v128.load(lanes, 32), v128.load(lanes, 48)),
  );
  return max(
    max(f32x4.extract_lane(tops, 0), f32x4.extract_lane(tops, 1)),
    max(f32x4.extract_lane(tops, 2), f32x4.extract_lane(tops, 3)),
  );
}

function sumsOf(from: usize, to: usize, lanes: usize): void {
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (; from < to; from += 64) {
    a = f32x4.add(a, v128.load(from));
    b = f32x4.add(b, v128.load(from, 16));
    c = f32x4.add(c, v128.load(from, 32));
    d = f32x4.add(d, v128.load(from, 48));
  }
  v128.store(lanes, a);
  v128.store(lanes, b, 16);
  v128.store(lanes, c, 32);
  v128.store(lanes, d, 48);
}

function sumOf(lanes: usize): f32 {
  const sums = f32x4.add(
    f32x4.add(v128.load(lanes), v128.load(lanes, 16)),
    f32x4.add(v128.load(lanes, 32), v128.load(lanes, 48)),
  );
  return (
    f32x4.extract_lane(sums, 0) +
    f32x4.extract_lane(sums, 1) +
    (f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3))
  );
}
