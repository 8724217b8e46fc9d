/** Bytes that come in pieces, as lines. */

/** Whole lines without their ends; what is left at the end comes too. A line of more than `maxBytes` comes in pieces. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, maxBytes = 2 ** 22): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop()!;
    yield* lines;
    if (rest.length > maxBytes) {
      yield rest;
      rest = '';
    }
  }
  rest += decoder.decode();
  if (rest !== '') yield rest;
}
