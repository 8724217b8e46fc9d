/** Which tokens' keys and values sequences may take from each other. Why: docs/decisions/exactness.md#what-a-prefix-cache-may-share */
import type { ExpertwireConfig } from '../../config/schema.js';
import type { KernelChoice } from '../../kernels/kernel_choice.js';
import type { ModelSpec } from '../../model/spec/spec.js';

/** How blocks are named that may be shared. */
export interface PrefixSharing {
  /** All that keys and values depend on, besides tokens. */
  readonly seed: string;
  /** A generated token's keys and values have other bits than the same token's in a prompt. */
  readonly separatesForms: boolean;
}

/** Null: nothing is shared (`engine.prefix_cache: off`). `fma`: what the ranks agreed on. */
export function prefixSharingOf(
  config: ExpertwireConfig,
  spec: ModelSpec,
  { fma }: Pick<KernelChoice, 'fma'>,
): PrefixSharing | null {
  const { engine, comm, backend, compute, kernels, experts, dense } = config;
  const { reduce, wire } = comm;
  const choice = engine.prefix_cache === 'auto' ? (isBitwise(config) ? 'exact' : 'any') : engine.prefix_cache;
  if (choice === 'off') return null;
  const hasForms = spec.attention.kind === 'mla' && engine.mla === 'auto';
  const resident = { experts: experts.resident, dense: dense.resident };
  const rounds = kernels.int8_activations;
  const bits = { backend, compute, fma, rounds, reduce, wire, mla: engine.mla, ...resident };
  return { seed: JSON.stringify({ spec, bits }), separatesForms: choice === 'exact' && hasForms };
}

/** The same tokens have the same bits, whatever is computed beside them, and wherever. */
const isBitwise = ({ comm: { reduce, wire } }: ExpertwireConfig): boolean =>
  reduce === 'source' && wire.dispatch === 'f32' && wire.combine === 'f32';
