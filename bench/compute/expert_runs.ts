/** Routed experts of one layer on rows that go to random ones of them. */
import type { Expert, ExpertCompute } from '../../compute/base/expert_compute.js';
import { permutation, randomFrom } from '../../experts/routing/random.js';
import type { ComputeShape } from './options.js';
import { randomFfn, randomRows } from './random_weights.js';

/** Runs of one number of tokens. */
export interface ExpertRun {
  readonly run: () => Promise<void>;
  /** Experts that get rows. */
  readonly numActive: number;
  /** Rows of all of them. */
  readonly numRows: number;
}

/** As many experts as a layer has, all of the same random weights, each with its own copy in memory; `dispose` frees them. */
export class ExpertLayer<E extends Expert> {
  readonly experts: readonly E[];

  /** @throws ExpertError OUT_OF_MEMORY */
  constructor(
    private readonly shape: ComputeShape,
    private readonly compute: ExpertCompute<E>,
    private readonly seed: number,
  ) {
    const { hidden, intermediate, numExperts } = shape;
    const weights = randomFfn(seed, hidden, intermediate); // the values don't matter, where they lie does
    this.experts = Array.from({ length: numExperts }, () => compute.load(weights));
  }

  /** A batch that goes to other experts each time, as long as there are some, so that their weights come from memory. */
  tokens(numTokens: number): ExpertRun {
    const { hidden, numTopk, numExperts } = this.shape;
    const chosen = this.choose(numTokens);
    const numActive = new Set(chosen.flat()).size;
    const recv = {
      numRecvTokens: numTokens,
      recvX: randomRows(this.seed + numTokens, numTokens * hidden),
      recvTopkIdx: Int32Array.from(chosen.flat()),
      recvTopkWeights: new Float32Array(numTokens * numTopk).fill(1 / numTopk),
      reduce: 'rank',
    } as const;
    const turns = Array.from({ length: Math.max(1, Math.floor(numExperts / numActive)) }, (_, turn) =>
      this.groups(chosen, turn * numActive),
    );
    let turn = 0;
    const run = async (): Promise<void> => {
      await this.compute.forward(turns[turn++ % turns.length]!, recv);
    };
    return { run, numActive, numRows: numTokens * numTopk };
  }

  /** [tokens][K] different random experts. */
  private choose(numTokens: number): number[][] {
    const { numExperts, numTopk } = this.shape;
    const random = randomFrom(this.seed);
    return Array.from({ length: numTokens }, () => [...permutation(numExperts, random).subarray(0, numTopk)]);
  }

  private groups(
    chosen: readonly (readonly number[])[],
    shift: number,
  ): { readonly expert: E; readonly choices: number[] }[] {
    const { numTopk, numExperts } = this.shape;
    const byExpert = new Map<number, number[]>();
    for (const [token, experts] of chosen.entries()) {
      for (const [k, expert] of experts.entries()) {
        const choices = byExpert.get(expert) ?? [];
        byExpert.set(expert, choices);
        choices.push(token * numTopk + k);
      }
    }
    return Array.from(byExpert, ([expert, choices]) => ({
      expert: this.experts[(expert + shift) % numExperts]!,
      choices,
    }));
  }
  /** Frees the experts and what computes them. */
  dispose(): void {
    for (const expert of this.experts) expert.dispose();
    this.compute.dispose();
  }
}
