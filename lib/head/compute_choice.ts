/** What computes, where a model, or what its keys and values are kept as, leaves no choice. Pure. */
import { ConfigError } from '../config/errors.js';
import type { ExpertwireConfig } from '../config/schema.js';
import type { ModelSpec } from '../model/spec/spec.js';

/**
 * Layers without keys and values, attention with an indexer, and keys and values other than f32 run as kernels alone: those are taken where nobody chose.
 * @throws ConfigError INVALID_VALUE where something else was chosen for such layers (and checkCompute for such keys and values)
 */
export function withComputeFor(config: ExpertwireConfig, spec: ModelSpec): ExpertwireConfig {
  const mechanism = kernelsAlone(spec);
  const { backend, compute, engine } = config;
  if (mechanism === null && engine.kv_dtype === 'f32') return config;
  const isWasm = backend === 'wasm' || backend === 'auto';
  if (compute !== 'tensors' && isWasm) return { ...config, compute: 'kernels' };
  if (mechanism === null) return config;
  const [key, value] = isWasm ? ['compute', compute] : ['backend', backend];
  const message = `"${key}" is ${value}, and layers of ${spec.modelType} (${mechanism}) run with compute: kernels alone; set "${key}" to auto`;
  throw new ConfigError('INVALID_VALUE', message, { key });
}

/** What of a model has no form but kernels; null: nothing. */
function kernelsAlone({ layers, attention }: ModelSpec): string | null {
  if (attention.kind === 'mla' && attention.indexer !== null) return 'attention with an indexer';
  return layers.find(({ mixer }) => mixer.kind !== 'attention')?.mixer.kind ?? null;
}
