/** Rows of bytes in a kernel memory: `width` that count, every `stride`, which may be padded. */
import type { KernelMemory } from './kernel_memory.js';

/** The rows from `address` on. They own no memory. */
export class MemoryRows {
  constructor(
    private readonly memory: KernelMemory,
    readonly address: number,
    readonly width: number,
    readonly stride: number,
  ) {}

  /** Rows `from` … `from` + count − 1 become those of `bytes`, which begin every `rowBytes`. */
  copyIn(from: number, count: number, bytes: Uint8Array, rowBytes: number): void {
    const { width, stride } = this;
    const rows = this.bytes(from, count);
    if (width === stride && width === rowBytes) return rows.set(bytes);
    for (let row = 0; row < count && width > 0; row++)
      rows.set(bytes.subarray(row * rowBytes, row * rowBytes + width), row * stride);
  }

  /** The other way round. */
  copyOut(from: number, count: number, bytes: Uint8Array, rowBytes: number): void {
    const { width, stride } = this;
    const rows = this.bytes(from, count);
    if (width === stride && width === rowBytes) return bytes.set(rows);
    for (let row = 0; row < count && width > 0; row++)
      bytes.set(rows.subarray(row * stride, row * stride + width), row * rowBytes);
  }

  private bytes(from: number, count: number): Uint8Array {
    return this.memory.bytes(this.address + from * this.stride, count * this.stride);
  }
}
