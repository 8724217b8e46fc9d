/** Which kinds of compute, backends and kinds of weights go together, as far as the configuration alone can tell. */
import { isCoded } from '../../compute/base/weight_matrix.js';
import { ConfigError } from './errors.js';
import type { ExpertwireConfig } from './schema.js';

/** A rank that chooses a backend of its own checks that itself. @throws ConfigError INVALID_VALUE */
export function checkCompute(config: ExpertwireConfig): void {
  const { backend, compute, experts, dense, engine, resident_overrides: overrides } = config;
  const coded = Object.values(overrides).find(isCoded);
  const isWasm = backend === 'wasm' || backend === 'auto';
  if (compute === 'kernels' && !isWasm) {
    const message = `"compute" is kernels, which run beside backend wasm, but "backend" is ${backend}; set one of them to auto`;
    throw new ConfigError('INVALID_VALUE', message, { key: 'compute' });
  }
  if (compute === 'tensors' || !isWasm) checkNoKernels(config);
  checkActivations(config);
  checkWarm(config);
  if (compute !== 'tensors' && isWasm) return;
  const asked = [
    { key: 'experts.resident', value: experts.resident, isAsked: isCoded(experts.resident), instead: 'bf16 or f32' },
    { key: 'dense.resident', value: dense.resident, isAsked: isCoded(dense.resident), instead: 'bf16 or f32' },
    { key: 'resident_overrides', value: coded, isAsked: coded !== undefined, instead: 'bf16 or f32' },
    {
      key: 'experts.max_resident_bytes',
      value: experts.max_resident_bytes,
      isAsked: experts.max_resident_bytes !== null,
      instead: 'null',
    },
    { key: 'engine.kv_dtype', value: engine.kv_dtype, isAsked: engine.kv_dtype !== 'f32', instead: 'f32' },
  ];
  const first = asked.find(({ isAsked }) => isAsked);
  if (first === undefined) return;
  const { key, value, instead } = first;
  const why = compute === 'tensors' ? '"compute" is tensors' : `"backend" is ${backend}`;
  const message = `"${key}" is ${value}, which the kernels alone compute with, but ${why}; set it to ${instead}`;
  throw new ConfigError('INVALID_VALUE', message, { key });
}

/** Whether something is asked of kernels that none will do. @throws ConfigError INVALID_VALUE */
function checkNoKernels({ backend, compute, kernels }: ExpertwireConfig): void {
  const asked = [
    { name: 'simd', isAsked: kernels.simd === 256, instead: 'auto' },
    { name: 'fma', isAsked: kernels.fma === 'on', instead: 'auto' },
    { name: 'activations', isAsked: kernels.activations !== 'f32', instead: 'f32' },
  ] as const;
  const first = asked.find(({ isAsked }) => isAsked);
  if (first === undefined) return;
  const key = `kernels.${first.name}`;
  const why = compute === 'tensors' ? '"compute" is tensors' : `"backend" is ${backend}`;
  const message = `"${key}" is ${kernels[first.name]}, which is about the kernels, but ${why}; set it to ${first.instead}`;
  throw new ConfigError('INVALID_VALUE', message, { key });
}

/** @throws ConfigError INVALID_VALUE for copies of experts that are all in memory */
function checkWarm({ experts }: ExpertwireConfig): void {
  const { warm, max_resident_bytes: maxBytes } = experts;
  if (warm.bytes === null || maxBytes !== null) return;
  const key = 'experts.warm.bytes';
  const message = `"${key}" is ${warm.bytes}, which is for copies of experts that aren't in memory, but all are; set "experts.max_resident_bytes" too, or it to null`;
  throw new ConfigError('INVALID_VALUE', message, { key });
}

/** `auto` may be what a checkpoint has. @throws ConfigError INVALID_VALUE */
function checkActivations({ kernels, experts, dense, resident_overrides: overrides }: ExpertwireConfig): void {
  const isWhole = (choice: string): boolean => ['auto', 'int8', 'int4', 'uint4'].includes(choice);
  const choices = [experts.resident, dense.resident, ...Object.values(overrides)];
  if (kernels.activations === 'f32' || choices.some(isWhole)) return;
  const key = 'kernels.activations';
  const message = `"${key}" is ${kernels.activations}, which is about int8, int4 and uint4 weights, but there are none; set "experts.resident" or "dense.resident" to one of them, or it to f32`;
  throw new ConfigError('INVALID_VALUE', message, { key });
}
