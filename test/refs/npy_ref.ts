/** Reads a float32 .npy file of version 1.0 as the format's description says, byte by byte. */
export function readNpy(file: Buffer): { shape: number[]; data: Float32Array } {
  if (file.toString('latin1', 0, 6) !== '\x93NUMPY') throw new Error('no magic string');
  if (file[6] !== 1 || file[7] !== 0) throw new Error('not version 1.0');
  const headerBytes = file[8]! + 256 * file[9]!;
  const header = file.toString('latin1', 10, 10 + headerBytes);
  if (!header.endsWith('\n') || (10 + headerBytes) % 64 !== 0) throw new Error('header is not padded to 64 bytes');
  const fields = /^\{'descr': '<f4', 'fortran_order': False, 'shape': \((.*)\), \} *\n$/.exec(header);
  if (fields === null) throw new Error(`unexpected header ${header}`);
  const shape = fields[1]!.split(',').map(Number);
  const body = file.subarray(10 + headerBytes);
  if (body.length !== 4 * shape.reduce((a, b) => a * b, 1)) throw new Error('data does not fill the shape');
  return { shape, data: Float32Array.from({ length: body.length / 4 }, (_, i) => body.readFloatLE(4 * i)) };
}
