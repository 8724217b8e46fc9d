/**
 * Memory that its caller fills completely before anybody else sees it: zeroing, and the page faults that zeroed memory comes with,
 * can take longer than filling it.
 */

export const unfilledBytes = (numBytes: number): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.allocUnsafeSlow(numBytes).buffer, 0, numBytes);

export const unfilledFloats = (length: number): Float32Array<ArrayBuffer> =>
  new Float32Array(Buffer.allocUnsafeSlow(4 * length).buffer, 0, length);
