/** Structures in a kernel memory that kernels take by address. */
import type { KernelMemory } from './kernel_memory.js';
import type { FieldType, Layout } from './layouts.js';

const FIELD_BYTES: Readonly<Record<FieldType, number>> = { address: 4, i32: 4, f32: 4, f64: 8 };

/** A value for each field of a layout; an `address` is a number too. */
export type Fields<L extends Layout> = Readonly<Record<keyof L, number>>;

/** Bytes of a structure. */
export function bytesOf(layout: Layout): number {
  let end = 0;
  for (const type of Object.values(layout)) end = alignedTo(end, FIELD_BYTES[type]) + FIELD_BYTES[type];
  return end;
}

/** Writes some fields of the structure at an address, a multiple of 8 where it has an f64. */
export function writeFields<L extends Layout>(
  memory: KernelMemory,
  address: number,
  layout: L,
  values: Partial<Fields<L>>,
): void {
  let at = address;
  for (const [name, type] of Object.entries(layout)) {
    at = alignedTo(at, FIELD_BYTES[type]);
    const value = values[name];
    if (value !== undefined) write(memory, at, type, value);
    at += FIELD_BYTES[type];
  }
}

/** A structure of its own block. */
export class Descriptor<L extends Layout> {
  readonly address: number;

  /** @throws ExpertError OUT_OF_MEMORY */
  constructor(
    private readonly memory: KernelMemory,
    private readonly layout: L,
    values: Fields<L>,
  ) {
    this.address = memory.allocate(bytesOf(layout));
    this.set(values);
  }

  /** Writes some fields; the others stay. */
  set(values: Partial<Fields<L>>): void {
    writeFields(this.memory, this.address, this.layout, values);
  }

  /** Gives the block back. What its fields point to stays. */
  dispose(): void {
    this.memory.free(this.address);
  }
}

function write(memory: KernelMemory, address: number, type: FieldType, value: number): void {
  if (type === 'f64') new DataView(memory.bytes(address, 8).buffer).setFloat64(address, value, true);
  else if (type === 'f32') memory.floats(address, 1)[0] = value;
  else memory.words(address, 1)[0] = value;
}

const alignedTo = (offset: number, size: number): number => Math.ceil(offset / size) * size;
