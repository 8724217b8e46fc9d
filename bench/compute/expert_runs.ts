/** Routed experts of one layer on rows that go to random ones of them. */
import { KernelMemories } from '../../experts/kernels/kernel_memories.js';
import type { KernelExpert } from '../../experts/kernels/kernel_expert.js';
import { ResidentExperts } from '../../experts/kernels/resident_experts.js';
import { permutation, randomFrom } from '../../experts/random.js';
import type { WeightDtype } from '../../experts/weight_matrix.js';
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

export class ResidentLayer {
  private readonly shape: ComputeShape;
  private readonly compute: ResidentExperts;
  private readonly experts: readonly KernelExpert[];
  private readonly seed: number;

  /** @throws ExpertError OUT_OF_MEMORY */
  constructor(shape: ComputeShape, dtype: WeightDtype, seed: number) {
    const { hidden, intermediate, numExperts, numTopk } = shape;
    this.shape = shape;
    this.seed = seed;
    this.compute = new ResidentExperts(new KernelMemories(), { hidden, numTopk, dtype });
    const weights = randomFfn(seed, hidden, intermediate); // the values don't matter, where they lie does
    this.experts = Array.from({ length: numExperts }, () => this.compute.load(weights));
  }

  /** Bytes of one expert's weights. */
  get expertBytes(): number {
    return this.experts[0]!.numBytes;
  }

  /** A batch that goes to other experts each time, as long as there are some, so that their weights come from memory. */
  tokens(numTokens: number): ExpertRun {
    const { hidden, numTopk, numExperts } = this.shape;
    const chosen = this.choose(numTokens);
    const numActive = new Set(chosen.flat()).size;
    const recv = {
      numRecvTokens: numTokens,
      recvX: randomRows(this.seed + numTokens, numTokens * hidden),
      recvTopkIdx: new Int32Array(0),
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
  ): { readonly expert: KernelExpert; readonly choices: number[] }[] {
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
}
