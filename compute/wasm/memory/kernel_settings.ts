/** How the kernels of a rank compute: decided once, before its first memory is made, and the same for all of its memories. */
import { readFileSync } from 'node:fs';
import { allowRelaxedSimd } from './v8_flags.js';

/** What a module of kernels is, and what it is told when it is made. */
export interface KernelSettings {
  /** Sums of products are rounded once per product instead of twice: other bits, the same in every tile and on every processor that fuses. */
  readonly fma: boolean;
  /** Rows of activations that a tile of a product takes at once: the same bits, in another time. Null: as the module thinks best. */
  readonly tileRows: number | null;
  /** Products with int8 weights round rows of activations to int8 too, in whole numbers where most of the time goes: other results. Default false. */
  readonly int8Activations?: boolean;
  /** The module itself, where it was compiled already. Default: what `fma` says. */
  readonly module?: object;
}

/** Multiplies, then adds, on every processor: what tests compare with. */
export const PLAIN_KERNELS: KernelSettings = { fma: false, tileRows: null };

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: { readonly Module: new (bytes: Uint8Array) => object };

/** Where a module of kernels is. */
export const kernelModuleUrl = ({ fma }: Pick<KernelSettings, 'fma'>): URL =>
  new URL(`../${fma ? 'kernels_fma' : 'kernels'}.wasm`, import.meta.url);

/** A WebAssembly.Module. V8 shares the code of those that have the same bytes. */
export function compileKernels(settings: Pick<KernelSettings, 'fma' | 'module'>): object {
  if (settings.module !== undefined) return settings.module;
  if (settings.fma) allowRelaxedSimd();
  return new WebAssembly.Module(readFileSync(kernelModuleUrl(settings)));
}
