/** Lines of bytes as they come, without holding more than one of them. */

/** A line, or one that was too long to be held. */
export interface TextLine {
  /** From 1; empty lines count. */
  readonly number: number;
  /** Null: it has too many bytes. */
  readonly text: string | null;
}

/** Those that aren't empty. A byte order mark at the beginning is no part of the first one. `maxBytes`: of a line. */
export async function* textLines(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<TextLine, void, undefined> {
  let number = 1;
  let pieces: Uint8Array[] = [];
  let numBytes = 0;
  const take = (piece: Uint8Array): void => {
    numBytes += piece.length;
    if (numBytes <= maxBytes) pieces.push(piece);
    else pieces = [];
  };
  const line = (): TextLine | null => {
    const text = numBytes > maxBytes ? null : decoded(pieces, number === 1);
    const found = text === '' ? null : { number, text };
    [number, pieces, numBytes] = [number + 1, [], 0];
    return found;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(NEW_LINE); end >= 0; end = chunk.indexOf(NEW_LINE, from)) {
      take(chunk.subarray(from, end));
      from = end + 1;
      const found = line();
      if (found !== null) yield found;
    }
    if (from < chunk.length) take(chunk.slice(from)); // the chunk may be used again
  }
  const last = line();
  if (last !== null) yield last;
}

const NEW_LINE = 0x0a;

function decoded(pieces: readonly Uint8Array[], isFirst: boolean): string {
  const text = Buffer.concat(pieces).toString('utf8');
  return (isFirst ? text.replace(/^\ufeff/, '') : text).trim();
}
