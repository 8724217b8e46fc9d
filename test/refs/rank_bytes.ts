/** What ranks read and send, computed from the formats' own rules, without the code under test. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Strategy = 'linear' | 'round_robin';

/** The rank that holds an expert. */
export function holderOf(strategy: Strategy, expert: number, numExperts: number, numRanks: number): number {
  if (strategy === 'round_robin') return expert % numRanks;
  // Contiguous runs, the longer ones first.
  let first = 0;
  for (let rank = 0; ; rank++) {
    first += Math.floor(numExperts / numRanks) + (rank < numExperts % numRanks ? 1 : 0);
    if (expert < first) return rank;
  }
}

/** Bytes of the tensors that each rank needs of a single-file checkpoint: of the experts, in tensors of their own or side by side in one, those that it holds, as often as it does. */
export function tensorBytesByRank(
  modelDir: string,
  numRanks: number,
  numHeld: (expert: number, rank: number) => number,
): number[] {
  const file = readFileSync(join(modelDir, 'model.safetensors'));
  const header = JSON.parse(file.toString('utf8', 8, 8 + Number(file.readBigUInt64LE()))) as Record<
    string,
    { readonly shape: readonly number[]; readonly data_offsets: readonly [number, number] }
  >;
  const bytes = new Array<number>(numRanks).fill(0);
  for (const [name, tensor] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [begin, end] = tensor.data_offsets;
    const expert = /\.experts\.(\d+)\./.exec(name)?.[1];
    const isFused = /\.experts\.(gate_up_proj|down_proj)/.test(name);
    for (let rank = 0; rank < numRanks; rank++) {
      if (isFused) bytes[rank]! += (numHeldOf(tensor.shape[0]!, rank, numHeld) * (end - begin)) / tensor.shape[0]!;
      else bytes[rank]! += (expert === undefined ? 1 : numHeld(Number(expert), rank)) * (end - begin);
    }
  }
  return bytes;
}

/** Of all experts of a layer. */
const numHeldOf = (numExperts: number, rank: number, numHeld: (expert: number, rank: number) => number): number =>
  [...Array(numExperts).keys()].reduce((sum, expert) => sum + numHeld(expert, rank), 0);

/** The tokens of one source rank: [token][MoE layer][K] experts. */
export type RoutedTokens = readonly (readonly (readonly number[])[])[];

export interface Traffic {
  /** [source][destination] */
  readonly dispatchBytes: number[][];
  readonly combineBytes: number[][];
}

/** docs/wire.md, "Payloads": bytes of a job's steps, given what each rank's tokens were routed to. */
export function trafficOf(
  tokensByRank: readonly RoutedTokens[],
  shape: {
    readonly hidden: number;
    readonly numTopk: number;
    readonly numExperts: number;
    readonly numMoeLayers: number;
    readonly numSteps: number;
    readonly strategy: Strategy;
    readonly reduce: 'rank' | 'source';
  },
): Traffic {
  const numRanks = tokensByRank.length;
  const { hidden, numTopk, numExperts, numMoeLayers, numSteps, strategy, reduce } = shape;
  const headers = 40 * numSteps * numMoeLayers;
  const matrix = (): number[][] =>
    Array.from({ length: numRanks }, (_, from) =>
      Array.from({ length: numRanks }, (_, to) => (from === to ? 0 : headers)),
    );
  const traffic = { dispatchBytes: matrix(), combineBytes: matrix() };
  const dispatchRow = reduce === 'rank' ? 4 * hidden + 4 * numTopk + 2 * numTopk : 4 * hidden + 2 * numTopk;
  tokensByRank.forEach((tokens, source) => {
    for (const layers of tokens) {
      for (const experts of layers) {
        const holders = experts.map((expert) => holderOf(strategy, expert, numExperts, numRanks));
        for (const holder of new Set(holders)) {
          if (holder === source) continue;
          const numBack = reduce === 'rank' ? 1 : holders.filter((other) => other === holder).length;
          traffic.dispatchBytes[source]![holder]! += dispatchRow;
          traffic.combineBytes[holder]![source]! += numBack * 4 * hidden;
        }
      }
    }
  });
  return traffic;
}
