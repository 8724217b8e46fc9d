/** The beginning of a safetensors file: length prefix and header. */
import { PREFIX_BYTES } from './safetensors_header.js';

/** A tensor of a file to write. */
export interface TensorEntry {
  readonly name: string;
  /** Element type as the format names it: 'BF16', 'F32', … */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly numBytes: number;
}

/**
 * What stands before the data of a file whose tensors lie one behind the other, in this order.
 *
 * @param metadata strings for `__metadata__`; left out by default
 */
export function safetensorsHead(
  tensors: readonly TensorEntry[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  let offset = 0;
  const header: Record<string, unknown> = metadata === undefined ? {} : { __metadata__: metadata };
  for (const { name, dtype, shape, numBytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, (offset += numBytes)] };
  }
  return prefixed(Buffer.from(JSON.stringify(header)));
}

/** A header, well-formed or not, behind its length. */
export function prefixed(header: Uint8Array): Uint8Array {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeBigUInt64LE(BigInt(header.byteLength));
  return Buffer.concat([prefix, header]);
}
