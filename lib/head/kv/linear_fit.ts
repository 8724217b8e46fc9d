/** What things cost by how much there is of each, fitted to what was measured. Pure. */

/** How much earlier samples count beside the next one: the last fifty make up most of it. */
const DECAY = 0.98;
/** Of how different samples must be to tell two features apart: the determinant of their correlations. */
const MIN_SPREAD = 1e-3;
/** Residuals that are the same but for rounding, per sample. */
const TIE = 1e-9;

/** ms = Σ cost · amount, none of the costs negative: the best such sum by relative error. The first amount is 1, of what is paid in any case. */
export class LinearFit {
  /** Sums over samples of amounts / ms, and of their products. */
  private readonly sums: number[];
  private readonly products: number[][];
  private weight = 0;
  private seen = 0;
  private solved: readonly number[] | null = null;
  private readonly subsets: readonly (readonly number[])[];

  /** `numAmounts`: with the first one. */
  constructor(private readonly numAmounts: number) {
    this.sums = new Array<number>(numAmounts).fill(0);
    this.products = this.sums.map(() => new Array<number>(numAmounts).fill(0));
    this.subsets = subsetsOf(numAmounts);
  }

  /** Samples since the start. */
  get numSamples(): number {
    return this.seen;
  }

  /** So much took so long; `ms` above 0. */
  add(amounts: readonly number[], ms: number): void {
    const scaled = amounts.map((amount) => amount / ms);
    for (const [i, a] of scaled.entries()) {
      this.sums[i] = DECAY * this.sums[i]! + a;
      for (const [j, b] of scaled.entries()) this.products[i]![j] = DECAY * this.products[i]![j]! + a * b;
    }
    this.weight = DECAY * this.weight + 1;
    this.seen++;
    this.solved = null;
  }

  /** What it takes; 0 before the first sample. */
  msOf(amounts: readonly number[]): number {
    return this.costs.reduce((sum, cost, i) => sum + cost * amounts[i]!, 0);
  }

  /** By amount. */
  get costs(): readonly number[] {
    this.solved ??= this.solve();
    return this.solved;
  }

  /** Of all sets of amounts that cost something, the one that fits best; of equal ones the first. */
  private solve(): readonly number[] {
    let best: { readonly costs: readonly number[]; readonly residual: number } | null = null;
    for (const subset of this.subsets) {
      const own = this.solveFor(subset);
      if (own === null || own.some((cost) => cost < 0)) continue;
      const costs = new Array<number>(this.numAmounts).fill(0);
      for (const [i, at] of subset.entries()) costs[at] = own[i]!;
      const residual = this.residualOf(costs);
      if (best === null || residual < best.residual - TIE * this.weight) best = { costs, residual };
    }
    return best?.costs ?? new Array<number>(this.numAmounts).fill(0);
  }

  private residualOf(costs: readonly number[]): number {
    const product = (i: number): number => costs.reduce((sum, cost, j) => sum + cost * this.products[i]![j]!, 0);
    return costs.reduce((sum, cost, i) => sum + cost * (product(i) - 2 * this.sums[i]!), this.weight);
  }

  /** The normal equations of these alone, each scaled to 1; null: the samples don't tell them apart. */
  private solveFor(subset: readonly number[]): readonly number[] | null {
    const scales = subset.map((i) => Math.sqrt(this.products[i]![i]!));
    if (scales.some((scale) => scale === 0)) return null;
    const rows = subset.map((i, a) => [
      ...subset.map((j, b) => this.products[i]![j]! / (scales[a]! * scales[b]!)),
      this.sums[i]! / scales[a]!,
    ]);
    const solution = solved(rows);
    return solution?.map((value, a) => value / scales[a]!) ?? null;
  }
}

/** Elimination of a symmetric matrix with ones on its diagonal, right side behind it; null where its determinant says nothing. */
function solved(rows: number[][]): number[] | null {
  let determinant = 1;
  const n = rows.length;
  for (let i = 0; i < n; i++) {
    const pivot = rows[i]![i]!;
    determinant *= pivot;
    if (!(determinant > MIN_SPREAD)) return null;
    for (let k = i + 1; k < n; k++) {
      const factor = rows[k]![i]! / pivot;
      for (let j = i; j <= n; j++) rows[k]![j]! -= factor * rows[i]![j]!;
    }
  }
  const solution = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    const known = solution.reduce((sum, value, j) => (j > i ? sum + rows[i]![j]! * value : sum), 0);
    solution[i] = (rows[i]![n]! - known) / rows[i]![i]!;
  }
  return solution;
}

/** Not empty; the larger first, and of equal size those without what is paid in any case: where samples are all alike, twice as much costs twice as much. */
function subsetsOf(numAmounts: number): number[][] {
  const all = Array.from({ length: 2 ** numAmounts - 1 }, (_, bits) =>
    [...Array(numAmounts).keys()].filter((i) => ((bits + 1) >> i) & 1),
  );
  return all.sort((a, b) => b.length - a.length || b[0]! - a[0]!);
}
