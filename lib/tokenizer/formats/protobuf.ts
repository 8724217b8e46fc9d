/** Fields of Protocol Buffers as they come: as much as SentencePiece's models need. */

/** A field: its number, and what stands there by its wire type. */
export type Field =
  | { readonly number: number; readonly kind: 'varint'; readonly value: number }
  | { readonly number: number; readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly number: number; readonly kind: 'fixed'; readonly bytes: Uint8Array };

/** Longer ones are cut off, which no field here needs. */
const MAX_VARINT_BYTES = 10;

/** The fields of a message, in order. @throws SyntaxError where the bytes are no message */
export function* fieldsOf(message: Uint8Array): Generator<Field> {
  let place = 0;
  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const byte = message[place++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw new SyntaxError('a number is cut off');
  };
  const take = (length: number): Uint8Array => {
    if (length > message.length - place) throw new SyntaxError('a field is longer than what is left');
    place += length;
    return message.subarray(place - length, place);
  };
  while (place < message.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (number === 0) throw new SyntaxError('a field has number 0');
    if (wireType === 0) yield { number, kind: 'varint', value: varint() };
    else if (wireType === 1) yield { number, kind: 'fixed', bytes: take(8) };
    else if (wireType === 2) yield { number, kind: 'bytes', bytes: take(varint()) };
    else if (wireType === 5) yield { number, kind: 'fixed', bytes: take(4) };
    else throw new SyntaxError(`a field has wire type ${wireType}`);
  }
}
