/** How near the states behind one layer are to those of another model behind the same layer. Pure. */
import type { Agreement } from './agreement.js';

/** Sums over tokens. */
export class LayerAgreement {
  private squares = 0;
  private errorSquares = 0;

  /** `lens`: of the logits that final norm and head make of the states. */
  constructor(readonly lens: Agreement) {}

  /** Hidden states of one token. */
  addHidden(exact: Float32Array, other: Float32Array): void {
    for (let i = 0; i < exact.length; i++) {
      const error = other[i]! - exact[i]!;
      this.squares += exact[i]! * exact[i]!;
      this.errorSquares += error * error;
    }
  }

  /** Of the tokens of both. */
  with(other: LayerAgreement): LayerAgreement {
    const sum = new LayerAgreement(this.lens.with(other.lens));
    sum.squares = this.squares + other.squares;
    sum.errorSquares = this.errorSquares + other.errorSquares;
    return sum;
  }

  /** √(Σ (other − exact)² / Σ exact²) over all tokens and channels; null: there were none. */
  get hiddenError(): number | null {
    if (this.squares === 0) return this.errorSquares === 0 ? null : Infinity;
    return Math.sqrt(this.errorSquares / this.squares);
  }
}
