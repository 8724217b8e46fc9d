/** The GPUs that Dawn sees, and which of them is taken. */
import type { Dawn, Gpu, GpuAdapter, GpuAdapterInfo, GpuLimits } from '../library/dawn.js';

/** One GPU, or a program that does as if it were one, under one graphics interface. */
export interface AdapterReport {
  /** By which it is chosen. */
  readonly name: string;
  /** vulkan, metal, d3d12, … */
  readonly api: string;
  readonly vendor: string;
  readonly architecture: string;
  /** The driver, as a rule. */
  readonly description: string;
  /** Computes on the CPU. */
  readonly isSoftware: boolean;
  /** Bytes of the largest tensor that a kernel can be given. */
  readonly maxTensorBytes: number;
}

/** An adapter with the object that must outlive it. */
export interface OpenAdapter {
  readonly gpu: Gpu;
  readonly adapter: GpuAdapter;
  readonly report: AdapterReport;
}

/** Every adapter, in Dawn's order; an empty list where there is none. */
async function openAdapters(dawn: Dawn): Promise<OpenAdapter[]> {
  const opened: OpenAdapter[] = [];
  for (const { name, api } of await adapterNames(dawn)) {
    const gpu = dawn.create([`backend=${api}`, `adapter=${name}`]);
    const adapter = await gpu.requestAdapter();
    if (adapter !== null) opened.push({ gpu, adapter, report: reportOf(name, api, adapter) });
  }
  return opened;
}

/**
 * Takes the adapter whose name contains `wanted`, or else the one that Dawn prefers for speed; before a software renderer any other.
 *
 * @throws Error with the names there are
 */
export async function openAdapter(dawn: Dawn, wanted: string | null): Promise<OpenAdapter> {
  const opened = await openAdapters(dawn);
  return opened[await indexOfChosen(dawn, opened, wanted)]!;
}

/** Every adapter, and which of them is taken where none is asked for. */
export async function reportAdapters(dawn: Dawn): Promise<(AdapterReport & { readonly isTaken: boolean })[]> {
  const opened = await openAdapters(dawn);
  if (opened.length === 0) return [];
  const taken = await indexOfChosen(dawn, opened, null);
  return opened.map(({ report }, i) => ({ ...report, isTaken: i === taken }));
}

async function indexOfChosen(dawn: Dawn, opened: readonly OpenAdapter[], wanted: string | null): Promise<number> {
  const reports = opened.map(({ report }) => report);
  if (opened.length === 0) return chooseAdapter(reports, wanted, -1);
  const preferred = await dawn.create([]).requestAdapter({ powerPreference: 'high-performance' });
  const isPreferred = ({ adapter }: OpenAdapter): boolean =>
    preferred !== null && sameDevice(adapter.info, preferred.info);
  return chooseAdapter(reports, wanted, opened.findIndex(isPreferred));
}

/**
 * As {@link openAdapter}, of a list: the chosen one's index. `preferred`: the index of Dawn's choice, −1 without one. Pure.
 *
 * @throws Error with the names there are
 */
export function chooseAdapter(adapters: readonly AdapterReport[], wanted: string | null, preferred: number): number {
  if (adapters.length === 0) {
    throw new Error("Dawn found no adapter; install libvulkan1 and the GPU's Vulkan driver");
  }
  if (wanted !== null) {
    const index = adapters.findIndex(({ name }) => name.toLowerCase().includes(wanted.toLowerCase()));
    if (index >= 0) return index;
    const names = adapters.map(({ name, api }) => `'${name}' (${api})`).join(', ');
    throw new Error(`no GPU's name contains '${wanted}' (webgpu.adapter); there are ${names}`);
  }
  if (adapters[preferred]?.isSoftware === false) return preferred;
  const real = adapters.findIndex(({ isSoftware }) => !isSoftware);
  return real >= 0 ? real : Math.max(0, preferred);
}

/** Dawn tells its adapters only in the error of asking for one that there isn't. */
async function adapterNames(dawn: Dawn): Promise<{ name: string; api: string }[]> {
  try {
    await dawn.create([`adapter=${NO_ADAPTER}`]).requestAdapter();
    return [];
  } catch (error) {
    const lines = String(error).matchAll(/^ \* backend: '(.+?)', name: '(.*)'$/gm);
    return [...lines].map(([, api, name]) => ({ name: name!, api: api! })).filter(({ api }) => api !== 'null');
  }
}

const NO_ADAPTER = 'none of this name';

function reportOf(name: string, api: string, { info, limits }: GpuAdapter): AdapterReport {
  const { vendor, architecture, description } = info;
  const words = [name, vendor, architecture, description].join(' ');
  const isSoftware = info.isFallbackAdapter === true || SOFTWARE_RENDERER.test(words);
  return { name, api, vendor, architecture, description, isSoftware, maxTensorBytes: maxTensorBytesOf(limits) };
}

const SOFTWARE_RENDERER = /swiftshader|llvmpipe|lavapipe|software|basic render/i;

/** A tensor is one buffer, and a kernel sees it as one binding. */
const maxTensorBytesOf = ({ maxBufferSize, maxStorageBufferBindingSize }: GpuLimits): number =>
  Math.min(maxBufferSize, maxStorageBufferBindingSize);

const sameDevice = (a: GpuAdapterInfo, b: GpuAdapterInfo): boolean =>
  a.vendor === b.vendor && a.architecture === b.architecture && a.device === b.device;
