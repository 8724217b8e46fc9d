/** A KV block outside its cache, in the layout that KvCache describes (decoder.ts). */
import { InternalError } from '../../../base/coded_error.js';

/** Of values that nobody else holds. */
export const bytesOfFloats = (values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> =>
  new Uint8Array(values.buffer);

/** The values, copied, since bytes may begin at any offset of their buffer. */
export const floatsOfBytes = (bytes: Uint8Array): Float32Array<ArrayBuffer> =>
  new Float32Array(new Uint8Array(bytes).buffer);

/** @throws InternalError where a block's bytes are more or fewer than it takes */
export function checkLength({ byteLength }: Uint8Array, numBytes: number, block: number): void {
  if (byteLength === numBytes) return;
  throw new InternalError(`${byteLength} bytes for block ${block}, and a block takes ${numBytes}`);
}

/** For reading a block that was never written, or was freed. */
export const nothingIn = (block: number): InternalError => new InternalError(`block ${block} holds nothing to read`);
