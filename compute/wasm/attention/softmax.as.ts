/** One row's softmax, in two passes. */
import { roundUp4 } from './lane.as';
import { exp4 } from '../linear/math.as';

/**
 * scores[key] → exp(score − the highest), for keys start … end − 1; returns their sum. `scores` is where key 0 would be. Keys that share a vector with them
 * become 0: a key's place in its vector is its position modulo 4, so the order of the sum depends on positions alone. `sink`: one more score in the sum; −∞ = none.
 */
export function softmaxRow(scores: usize, start: i32, end: i32, sink: f32): f32 {
  const from = scores + ((<usize>(start & ~3)) << 2);
  const to = scores + ((<usize>roundUp4(end)) << 2);
  for (let at = from; at < scores + ((<usize>start) << 2); at += 4) store<f32>(at, -Infinity);
  for (let at = scores + ((<usize>end) << 2); at < to; at += 4) store<f32>(at, -Infinity);
  let tops = f32x4.splat(sink);
  for (let at = from; at < to; at += 16) tops = f32x4.max(tops, v128.load(at));
  const highest = max(
    max(f32x4.extract_lane(tops, 0), f32x4.extract_lane(tops, 1)),
    max(f32x4.extract_lane(tops, 2), f32x4.extract_lane(tops, 3)),
  );
  return powersOf(from, to, highest) + f32x4.extract_lane(exp4(f32x4.splat(sink - highest)), 0);
}

function powersOf(from: usize, to: usize, highest: f32): f32 {
  const shift = f32x4.splat(highest);
  let sum = f32x4.splat(0);
  for (let at = from; at < to; at += 16) {
    const power = exp4(f32x4.sub(v128.load(at), shift));
    v128.store(at, power);
    sum = f32x4.add(sum, power);
  }
  return (
    f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3))
  );
}
