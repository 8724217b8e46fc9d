/** Which tokens' keys and values sequences may take from each other. Why: docs/decisions/exactness.md#what-a-prefix-cache-may-share */
import type { ExpertwireConfig } from '../../../config/schema.js';
import type { KernelChoice } from '../../../kernels/kernel_choice.js';
import type { JobGate } from '../../../plugins/gates.js';
import type { ModelSpec } from '../../../model/spec/spec.js';

/** How blocks are named that may be shared. */
export interface PrefixSharing {
  /** All that keys and values depend on, besides tokens. */
  readonly seed: string;
  /** A generated token's keys and values have other bits than the same token's in a prompt. */
  readonly separatesForms: boolean;
}

/** What keys and values depend on besides the model and its configuration. */
export interface SharingFacts extends Pick<KernelChoice, 'fma'> {
  /** What the ranks came to compute with, in order, each once: `auto` is another thing on another machine, and blocks may come from there. */
  readonly computes: readonly string[];
  /** What was loaded of others. */
  readonly plugins: readonly { readonly code: string; readonly options: Readonly<Record<string, unknown>> }[];
  /** Null: the model's own gate. */
  readonly gate: Pick<JobGate, 'dependsOn'> | null;
}

/**
 * Null: nothing is shared (`engine.prefix_cache: off`; or `auto`, where a gate depends on what runs beside a token). `fma`: what the ranks agreed on.
 */
export function prefixSharingOf(
  config: ExpertwireConfig,
  spec: ModelSpec,
  { fma, computes, plugins, gate }: SharingFacts,
): PrefixSharing | null {
  const { engine, comm, kernels, experts, dense, resident_overrides: overrides } = config;
  const { reduce, wire } = comm;
  const choice = engine.prefix_cache === 'auto' ? (isBitwise(config) ? 'exact' : 'any') : engine.prefix_cache;
  const isLoose = gate?.dependsOn === 'batch' && engine.prefix_cache === 'auto';
  if (isLoose || choice === 'off') return null;
  const hasForms = spec.attention.kind === 'mla' && engine.mla === 'auto';
  const copies = experts.warm.bytes === null ? {} : { warm: experts.warm.dtype };
  const resident = { experts: experts.resident, dense: dense.resident, overrides, ...copies };
  const { activations } = kernels;
  const bits = { computes, fma, activations, reduce, wire, mla: engine.mla, kv: engine.kv_dtype, ...resident };
  const others = { plugins, gate: experts.gate };
  return { seed: JSON.stringify({ spec, bits, others }), separatesForms: choice === 'exact' && hasForms };
}

/** The same tokens have the same bits, whatever is computed beside them, and wherever. */
export const isBitwise = ({ comm: { reduce, wire }, experts }: Pick<ExpertwireConfig, 'comm' | 'experts'>): boolean =>
  experts.warm.bytes === null && reduce === 'source' && wire.dispatch === 'f32' && wire.combine === 'f32';
