/** RFC 6455 frames of a server, written slowly and plainly. */

export interface RefFragment {
  readonly opcode: number;
  readonly isLast: boolean;
  readonly payload: Uint8Array;
}

export function encodeFragment({ opcode, isLast, payload }: RefFragment): Uint8Array {
  const n = payload.length;
  const length =
    n < 126
      ? [n]
      : n < 65536
        ? [126, n >> 8, n & 255]
        : [127, 0, 0, 0, 0, n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255];
  return Uint8Array.from([(isLast ? 128 : 0) + opcode, ...length, ...payload]);
}

/** A message in fragments that end at `cuts`, with a ping of one byte before every fragment but the first. */
export function encodeMessageRef(message: Uint8Array, cuts: readonly number[]): Uint8Array {
  const ends = [...cuts.map((cut) => cut % (message.length + 1)), message.length].sort((a, b) => a - b);
  const parts: Uint8Array[] = [];
  for (const [i, end] of ends.entries()) {
    if (i > 0) parts.push(encodeFragment({ opcode: 9, isLast: true, payload: Uint8Array.of(i) }));
    const payload = message.subarray(i === 0 ? 0 : ends[i - 1]!, end);
    parts.push(encodeFragment({ opcode: i === 0 ? 2 : 0, isLast: i === ends.length - 1, payload }));
  }
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
