/** y = x·Wᵀ in float64: x [numRows · columns], w [outputs · columns]. */
export function linearRef(x: ArrayLike<number>, w: ArrayLike<number>, columns: number): number[] {
  const y: number[] = [];
  for (let m = 0; m < x.length; m += columns) {
    for (let n = 0; n < w.length; n += columns) {
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += x[m + k]! * w[n + k]!;
      y.push(sum);
    }
  }
  return y;
}
