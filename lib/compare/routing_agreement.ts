/** Which experts two models choose for the same tokens. Pure. Shape suffix: L MoE layers. */

/** [MoE layers][experts]: what an expert's number is in the model that this one was made of; null: its own. */
export type ExpertOrigins = readonly (readonly number[])[] | null;

/** [tokens][L][K] of one piece. */
type Routed = readonly (readonly (readonly number[])[])[];

/** What is compared, by its number among the MoE layers of each. */
export interface LayerPair {
  readonly a: number;
  readonly b: number;
}

/** Choices of A, and those that B makes too, by pair of layers. */
export class RoutingAgreement {
  private readonly counts: { chosen: number; same: number }[];

  constructor(
    private readonly pairs: readonly LayerPair[],
    private readonly origins: { readonly a: ExpertOrigins; readonly b: ExpertOrigins },
  ) {
    this.counts = pairs.map(() => ({ chosen: 0, same: 0 }));
  }

  /** Of the same tokens. A choice of −1 is none. */
  add(a: Routed, b: Routed): void {
    for (const [token, ofA] of a.entries()) {
      for (const [i, pair] of this.pairs.entries()) {
        const chosen = originsOf(ofA[pair.a]!, this.origins.a?.[pair.a]);
        const others = new Set(originsOf(b[token]![pair.b]!, this.origins.b?.[pair.b]));
        this.counts[i]!.chosen += chosen.length;
        this.counts[i]!.same += chosen.filter((expert) => others.has(expert)).length;
      }
    }
  }

  /** Of the tokens of both, which compare the same layers. */
  with(other: RoutingAgreement): RoutingAgreement {
    const sum = new RoutingAgreement(this.pairs, this.origins);
    for (const [i, count] of sum.counts.entries()) {
      for (const each of [this.counts[i]!, other.counts[i]!]) {
        count.chosen += each.chosen;
        count.same += each.same;
      }
    }
    return sum;
  }

  /** Of each pair, the choices of A that B makes too / those of A; null: A makes none. */
  get shares(): (number | null)[] {
    return this.counts.map(({ chosen, same }) => (chosen === 0 ? null : same / chosen));
  }

  /** Of all pairs. */
  get share(): number | null {
    const sum = (key: 'chosen' | 'same'): number => this.counts.reduce((total, each) => total + each[key], 0);
    return sum('chosen') === 0 ? null : sum('same') / sum('chosen');
  }
}

const originsOf = (choices: readonly number[], origins: readonly number[] | undefined): number[] =>
  choices.filter((expert) => expert >= 0).map((expert) => origins?.[expert] ?? expert);
