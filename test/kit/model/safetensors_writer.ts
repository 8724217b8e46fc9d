import { prefixed, safetensorsHead } from '../../../lib/weights/safetensors_writer.js';

/** One tensor to write: its bytes are taken as they are. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A well-formed safetensors file with the tensors one behind the other. */
export function writeSafetensors(
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = tensors.map(({ bytes, ...tensor }) => ({ ...tensor, numBytes: bytes.byteLength }));
  return Buffer.concat([safetensorsHead(entries, metadata), ...tensors.map(({ bytes }) => bytes)]);
}

/** A file of a length prefix, this header (well-formed or not) and this data. */
export function safetensorsFile(header: string | Uint8Array, data: Uint8Array = new Uint8Array()): Uint8Array {
  return Buffer.concat([prefixed(typeof header === 'string' ? Buffer.from(header) : header), data]);
}

/** The tensors of a well-formed file, by the shortest code that can read one: a reference for the reader under test. */
export function readSafetensors(file: Uint8Array): readonly TensorToWrite[] {
  const buffer = Buffer.from(file);
  const dataBegin = 8 + Number(buffer.readBigUInt64LE());
  const header = JSON.parse(buffer.toString('utf8', 8, dataBegin)) as Record<string, Entry>;
  return Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => ({
        name,
        dtype,
        shape,
        bytes: buffer.subarray(dataBegin + begin, dataBegin + end),
      }),
    );
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}
