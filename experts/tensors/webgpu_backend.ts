/** WebGPU through Dawn, which needs neither a browser nor CUDA. */
import type { StartedBackend } from './started_backend.js';
import { activate, importOptional, WEBGPU_PACKAGE } from './tfjs.js';

interface GpuAdapterInfo {
  readonly vendor?: string;
  readonly architecture?: string;
  readonly description?: string;
  readonly isFallbackAdapter?: boolean;
}
interface Gpu {
  requestAdapter(): Promise<{ readonly info: GpuAdapterInfo; readonly isFallbackAdapter?: boolean } | null>;
}
interface WebgpuPackage {
  readonly create: (flags: readonly string[]) => Gpu;
  readonly globals: object;
}

const SOFTWARE_RENDERER = /swiftshader|llvmpipe|lavapipe|software|cpu/i;

export async function startWebgpu(): Promise<StartedBackend> {
  const { create, globals } = (await importOptional('webgpu')) as WebgpuPackage;
  Object.assign(globalThis, globals);
  const gpu = create([]);
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error('Dawn found no adapter');
  await importOptional(WEBGPU_PACKAGE);
  await activate('webgpu');
  const { vendor = '', architecture = '', description = '' } = adapter.info;
  const detail = [vendor, architecture, description].filter((part) => part !== '').join(' ') || 'unnamed adapter';
  const isSoftware =
    adapter.isFallbackAdapter === true || adapter.info.isFallbackAdapter === true || SOFTWARE_RENDERER.test(detail);
  return { isAutomatic: !isSoftware, detail: isSoftware ? `${detail} (software renderer)` : detail };
}
