import { expect } from 'chai';
import fc from 'fast-check';
import { textLines, type TextLine } from '../../../lib/batches/text_lines.js';

async function linesOf(text: string, chunkBytes: number, maxBytes = 100): Promise<TextLine[]> {
  const bytes = Buffer.from(text);
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    const memory = new Uint8Array(chunkBytes);
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const chunk = bytes.subarray(at, at + chunkBytes);
      memory.set(chunk);
      yield memory.subarray(0, chunk.length); // the same memory each time
      await Promise.resolve();
    }
  };
  const lines: TextLine[] = [];
  for await (const line of textLines(chunks(), maxBytes)) lines.push(line);
  return lines;
}

describe('lines of bytes', () => {
  it('are what stands between line ends, wherever the bytes are cut', async () => {
    const line = fc.stringMatching(/^[a-zé€😀]{0,12}$/u);
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 8 }), fc.integer({ min: 1, max: 9 }), async (texts, chunkBytes) => {
        const expected = texts.flatMap((text, i) => (text === '' ? [] : [{ number: i + 1, text }]));
        expect(await linesOf(texts.join('\n'), chunkBytes)).to.deep.equal(expected);
      }),
      { numRuns: 100 },
    );
  });

  it('have no carriage return, no byte order mark, and may end without a line end', async () => {
    expect(await linesOf('\ufeffa\r\n\r\nb', 2)).to.deep.equal([
      { number: 1, text: 'a' },
      { number: 3, text: 'b' },
    ]);
  });

  it('of too many bytes are told without being held', async () => {
    const lines = await linesOf(`a\n${'x'.repeat(101)}\n${'y'.repeat(100)}\n${'z'.repeat(1000)}`, 7);
    expect(lines).to.deep.equal([
      { number: 1, text: 'a' },
      { number: 2, text: null },
      { number: 3, text: 'y'.repeat(100) },
      { number: 4, text: null },
    ]);
  });
});
