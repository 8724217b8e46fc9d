/** Zip files, written the plainest way: for tests of what reads them. */
import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly isDeflated: boolean;
}

/** A zip file of the entries, each with an extra field in its own header that the directory does not have. */
export function zipOf(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, bytes, isDeflated } of entries) {
    const packed = isDeflated ? deflateRawSync(bytes) : Buffer.from(bytes);
    const nameBytes = Buffer.from(name);
    const method = isDeflated ? 8 : 0;
    const common = [u16(20), u16(0), u16(method), u32(0), u32(crc32(bytes)), u32(packed.length), u32(bytes.length)];
    const extra = Buffer.from([1, 2, 3, 4, 5]);
    const local = [u32(0x04034b50), ...common, u16(nameBytes.length), u16(extra.length), nameBytes, extra, packed];
    const inDirectory = [u16(nameBytes.length), u16(0), u16(0), u16(0), u16(0), u32(0), u32(offset), nameBytes];
    directory.push(u32(0x02014b50), u16(20), ...common, ...inDirectory);
    parts.push(...local);
    offset += Buffer.concat(local).length;
  }
  const listed = Buffer.concat(directory);
  const counts = [u16(entries.length), u16(entries.length), u32(listed.length), u32(offset), u16(0)];
  return Buffer.concat([...parts, listed, u32(0x06054b50), u16(0), u16(0), ...counts]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
