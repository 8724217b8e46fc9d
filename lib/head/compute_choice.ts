/** What computes, where a model leaves no choice. Pure. */
import { ConfigError } from '../config/errors.js';
import type { ExpertwireConfig } from '../config/schema.js';
import type { ModelSpec } from '../model/spec/spec.js';

/**
 * Layers without keys and values run as kernels alone: those are taken where nobody chose.
 * @throws ConfigError INVALID_VALUE where something else was chosen
 */
export function withComputeFor(config: ExpertwireConfig, { modelType, layers }: ModelSpec): ExpertwireConfig {
  const other = layers.find(({ mixer }) => mixer.kind !== 'attention');
  if (other === undefined) return config;
  const { backend, compute } = config;
  const isWasm = backend === 'wasm' || backend === 'auto';
  if (compute !== 'tensors' && isWasm) return { ...config, compute: 'kernels' };
  const [key, value] = isWasm ? ['compute', compute] : ['backend', backend];
  const message = `"${key}" is ${value}, and layers of ${modelType} (${other.mixer.kind}) run with compute: kernels alone; set "${key}" to auto`;
  throw new ConfigError('INVALID_VALUE', message, { key });
}
