/** The largest of some numbers. */

/**
 * out i32 [k]: indices of the k largest of `count` float64 values, best first, the lower index on ties. k ≤ count; no value is NaN.
 * Sorted insertion: k is small, and few values beat what is already there.
 */
export function bestOf(values: usize, count: i32, out: usize, k: i32): void {
  let found = 0;
  for (let i = 0; i < count; i++) {
    const value = load<f64>(values + ((<usize>i) << 3));
    if (found < k) found++;
    else if (!(value > valueAt(values, out, k - 1))) continue;
    let place = found - 1;
    for (; place > 0 && value > valueAt(values, out, place - 1); place--) {
      store<i32>(out + ((<usize>place) << 2), load<i32>(out + ((<usize>(place - 1)) << 2)));
    }
    store<i32>(out + ((<usize>place) << 2), i);
  }
}

function valueAt(values: usize, out: usize, place: i32): f64 {
  return load<f64>(values + ((<usize>load<i32>(out + ((<usize>place) << 2))) << 3));
}
