/** The cheapest way to pair rows with columns, one each. Pure. */

/**
 * Kuhn's Hungarian method with potentials, O(n³): column of each row, so that the sum of costs is least. `cost`: [n·n], finite.
 */
export function assignment(cost: Float64Array, n: number): Int32Array {
  const [u, v] = [new Float64Array(n + 1), new Float64Array(n + 1)];
  const rowOf = new Int32Array(n + 1); // of each column, counted from 1; 0: none
  const from = new Int32Array(n + 1);
  for (let row = 1; row <= n; row++) {
    rowOf[0] = row;
    let column = pathTo(cost, n, { u, v, rowOf, from });
    for (; column !== 0; column = from[column]!) rowOf[column] = rowOf[from[column]!]!;
  }
  const columnOf = new Int32Array(n);
  for (let column = 1; column <= n; column++) columnOf[rowOf[column]! - 1] = column - 1;
  return columnOf;
}

interface Potentials {
  readonly u: Float64Array;
  readonly v: Float64Array;
  readonly rowOf: Int32Array;
  readonly from: Int32Array;
}

/** The free column that the cheapest alternating path from the row at column 0 leads to. */
function pathTo(cost: Float64Array, n: number, { u, v, rowOf, from }: Potentials): number {
  const least = new Float64Array(n + 1).fill(Infinity);
  const isUsed = new Uint8Array(n + 1);
  let column = 0;
  do {
    isUsed[column] = 1;
    const row = rowOf[column]!;
    let [delta, next] = [Infinity, 0];
    for (let j = 1; j <= n; j++) {
      if (isUsed[j] === 1) continue;
      const reduced = cost[(row - 1) * n + j - 1]! - u[row]! - v[j]!;
      if (reduced < least[j]!) {
        least[j] = reduced;
        from[j] = column;
      }
      if (least[j]! < delta) [delta, next] = [least[j]!, j];
    }
    for (let j = 0; j <= n; j++) {
      if (isUsed[j] === 1) {
        u[rowOf[j]!]! += delta;
        v[j]! -= delta;
      } else least[j]! -= delta;
    }
    column = next;
  } while (rowOf[column] !== 0);
  return column;
}
