// One check after the other, in the order of the file format: longer than other files because there is one message
// for every way in which a header can be wrong.
import { printable, shown } from '../../base/foreign_text.js';
import { findDuplicateKey } from './duplicate_keys.js';
import { DTYPE_BITS } from './dtypes.js';
import { WeightError } from './errors.js';

/** One tensor of a safetensors file. */
export interface TensorInfo {
  readonly name: string;
  /** Element type as written in the header: 'BF16', 'F16', 'F32', or one that cannot be read here. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Absolute offset of the first byte in the file. */
  readonly begin: number;
  /** Absolute offset behind the last byte in the file. */
  readonly end: number;
  /** Path of the file. */
  readonly file: string;
}

/** A file begins with the header's length in bytes, as a little-endian unsigned 64-bit number. */
export const PREFIX_BYTES = 8;

/** The largest header that the format's reference implementation accepts, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Reads the header's length out of a file's first bytes.
 *
 * @param prefix the first {@link PREFIX_BYTES} bytes, or all of a shorter file
 * @param fileBytes size of the file
 * @param file path, for messages
 * @returns length of the header in bytes, which the file is known to hold
 * @throws WeightError MALFORMED_SAFETENSORS
 */
export function parseHeaderLength(prefix: Uint8Array, fileBytes: number, file: string): number {
  if (fileBytes < PREFIX_BYTES || prefix.byteLength < PREFIX_BYTES) {
    throw malformed(file, `the file has ${fileBytes} bytes, fewer than the ${PREFIX_BYTES} of the header's length`);
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw malformed(file, `the header's length is ${String(length)} bytes, above the limit of ${MAX_HEADER_BYTES}`);
  }
  if (PREFIX_BYTES + Number(length) > fileBytes) {
    throw malformed(file, `the header's length is ${String(length)} bytes, but the file has ${fileBytes} bytes`);
  }
  return Number(length);
}

/**
 * Parses and checks a safetensors header. Pure: no file is touched. Like the reference implementation it accepts only a
 * file whose bytes are all covered by exactly one tensor.
 *
 * @param header the bytes behind the prefix, as many as {@link parseHeaderLength} returned
 * @param fileBytes size of the file
 * @param file path, for messages and {@link TensorInfo.file}
 * @returns the tensors by name, in the order of their bytes
 * @throws WeightError MALFORMED_SAFETENSORS, or UNKNOWN_DTYPE for an element type that the format does not have
 */
export function parseSafetensorsHeader(
  header: Uint8Array,
  fileBytes: number,
  file: string,
): ReadonlyMap<string, TensorInfo> {
  const { [METADATA_KEY]: metadata, ...entries } = parseObject(header, file);
  checkMetadata(metadata, file);
  const dataBegin = PREFIX_BYTES + header.byteLength;
  const tensors = Object.entries(entries).map(([name, entry]) => parseEntry(name, entry, dataBegin, file));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(tensors, dataBegin, fileBytes, file);
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}

const METADATA_KEY = '__metadata__';

function parseObject(header: Uint8Array, file: string): Readonly<Record<string, unknown>> {
  let text: string;
  let parsed: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
  } catch (cause) {
    throw malformed(file, 'the header is not valid UTF-8', { cause });
  }
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw malformed(file, 'the header is not valid JSON', { cause });
  }
  // The format asks for '{' as the very first byte; JSON would allow white space before it.
  if (!isObject(parsed) || !text.startsWith('{')) throw malformed(file, `the header is not a JSON object`);
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) {
    throw malformed(file, `the header holds the key ${shown(duplicate)} twice`, { tensor: duplicate });
  }
  return parsed;
}

function checkMetadata(metadata: unknown, file: string): void {
  if (metadata === undefined || metadata === null) return;
  if (!isObject(metadata)) throw malformed(file, `${METADATA_KEY} is ${shown(metadata)}, not an object`);
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value === 'string') continue;
    throw malformed(file, `${METADATA_KEY}.${printable(key)} is ${shown(value)}, not a string`);
  }
}

function parseEntry(name: string, entry: unknown, dataBegin: number, file: string): TensorInfo {
  const wrong = (what: string) => malformed(file, `tensor ${shown(name)}: ${what}`, { tensor: name });
  if (!isObject(entry)) throw wrong(`its entry is ${shown(entry)}, not an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string') throw wrong(`its dtype is ${shown(dtype)}, not a string`);
  const bits = DTYPE_BITS.get(dtype);
  if (bits === undefined) throw unknownDtype(file, name, dtype);
  if (!isSizes(shape)) {
    throw wrong(`its shape is ${shown(shape)}, not a list of non-negative integers`);
  }
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw wrong(`its data_offsets are ${shown(offsets)}, not two ascending non-negative integers`);
  }
  const [begin, end] = offsets as [number, number];
  const numElements = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(numElements * bits)) throw wrong(`its shape [${shapeText(shape)}] is too large`);
  if (numElements * bits !== (end - begin) * 8) {
    throw wrong(
      `shape [${shapeText(shape)}] of ${dtype} needs ${(numElements * bits) / 8} bytes, data_offsets span ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin: dataBegin + begin, end: dataBegin + end, file };
}

/** The tensors must lie one behind the other from the header to the end of the file. */
function checkCoverage(tensors: readonly TensorInfo[], dataBegin: number, fileBytes: number, file: string): void {
  let covered = dataBegin;
  for (const { name, begin, end } of tensors) {
    const wrong = (what: string) => malformed(file, `tensor ${shown(name)}: ${what}`, { tensor: name });
    if (end > fileBytes) throw wrong(`its data ends at byte ${end}, but the file has ${fileBytes} bytes`);
    if (begin < covered) throw wrong(`its data begins at byte ${begin} and overlaps another tensor's up to ${covered}`);
    if (begin > covered) throw wrong(`bytes ${covered} to ${begin} before its data belong to no tensor`);
    covered = end;
  }
  if (covered !== fileBytes) {
    throw malformed(file, `the tensors end at byte ${covered}, but the file has ${fileBytes} bytes`);
  }
}

/** The sizes of a shape, as messages show them between brackets. */
export const shapeText = (shape: readonly number[]): string => printable(shape.join(', '));

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0 && !Object.is(size, -0));
}

function unknownDtype(file: string, tensor: string, dtype: string): WeightError {
  return new WeightError(
    'UNKNOWN_DTYPE',
    `${file}: tensor ${shown(tensor)} has the element type ${shown(dtype)}, which the safetensors ` +
      `format does not have; write the file again with one of ${[...DTYPE_BITS.keys()].join(', ')}`,
    { file, tensor },
  );
}

function malformed(file: string, what: string, context: { tensor?: string; cause?: unknown } = {}): WeightError {
  return new WeightError('MALFORMED_SAFETENSORS', `${file}: ${what}; download or convert the file again`, {
    file,
    ...context,
  });
}
