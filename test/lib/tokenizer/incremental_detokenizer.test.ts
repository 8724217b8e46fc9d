import { expect } from 'chai';
import fc from 'fast-check';
import { IncrementalDetokenizer } from '../../../lib/tokenizer/incremental_detokenizer.js';
import { loadTokenizer, type DecodeOptions, type Tokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { moe7m } from '../../kit/paths.js';
import { sentencePieceTokenizer } from '../../kit/model/tokenizers.js';

/** Streams the ids and checks after each that what was handed out so far is the beginning of the whole text. */
function checkStream(tokenizer: Tokenizer, ids: readonly number[], options: DecodeOptions): void {
  const whole = tokenizer.decode(ids, options);
  const detokenizer = new IncrementalDetokenizer(tokenizer, options);
  let streamed = '';
  for (const id of ids) {
    streamed += detokenizer.push(id);
    // With this, a replacement character stands in a piece only where the whole text has one.
    expect(whole.startsWith(streamed), `${JSON.stringify(streamed)} of ${JSON.stringify(whole)}`).to.equal(true);
  }
  expect(streamed + detokenizer.flush()).to.equal(whole);
  expect(detokenizer.flush()).to.equal('');
}

/** Text with what is hard to cut: emoji with joiners and flags, combining marks, CJK, controls, replacement characters. */
const anyText = () =>
  fc.array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.string({ unit: 'binary', maxLength: 4 }),
      fc.constantFrom('👩‍👩‍👧', '🇩🇪', 'e\u0301', '中文', '\u0000', '\uFEFF', '\uFFFD', ' ', '\n\n', '<|end|>', '</s>'),
    ),
    { maxLength: 12 },
  );

describe('incremental detokenizer', () => {
  const tokenizers: Record<string, Tokenizer> = { 'a SentencePiece tokenizer': sentencePieceTokenizer() };
  before(async () => {
    tokenizers['a byte-level tokenizer'] = (await loadTokenizer(moe7m()))!;
  });

  for (const name of ['a byte-level tokenizer', 'a SentencePiece tokenizer']) {
    it(`${name}: pieces of any text join to the whole and never hold half a character`, () => {
      const tokenizer = tokenizers[name]!;
      fc.assert(
        fc.property(anyText(), fc.boolean(), (parts, skipSpecialTokens) => {
          checkStream(tokenizer, tokenizer.encode(parts.join('')), { skipSpecialTokens });
        }),
        { numRuns: 300 },
      );
    });

    it(`${name}: pieces of any ids, also of broken UTF-8 and unknown ids, join to the whole`, () => {
      const tokenizer = tokenizers[name]!;
      const anyId = fc.oneof(fc.nat(tokenizer.vocabSize + 2), fc.nat(Math.min(300, tokenizer.vocabSize)));
      fc.assert(
        fc.property(fc.array(anyId, { maxLength: 40 }), fc.boolean(), (ids, skipSpecialTokens) => {
          checkStream(tokenizer, ids, { skipSpecialTokens });
        }),
        { numRuns: 1000 },
      );
    });
  }

  it('hands a character out with the token that completes it', () => {
    const tokenizer = tokenizers['a byte-level tokenizer']!;
    const ids = tokenizer.encode('😀', { addSpecialTokens: false });
    const detokenizer = new IncrementalDetokenizer(tokenizer);
    expect(ids.length).to.be.greaterThan(1);
    expect(ids.map((id) => detokenizer.push(id))).to.deep.equal([...ids.slice(1).map(() => ''), '😀']);
  });

  it('hands plain words out at once', () => {
    const tokenizer = tokenizers['a byte-level tokenizer']!;
    const detokenizer = new IncrementalDetokenizer(tokenizer);
    for (const id of tokenizer.encode('plain words, and more', { addSpecialTokens: false })) {
      expect(detokenizer.push(id)).to.equal(tokenizer.decode([id]));
    }
  });

  it('flush hands out what never became a character, and starts anew', () => {
    const tokenizer = tokenizers['a byte-level tokenizer']!;
    const detokenizer = new IncrementalDetokenizer(tokenizer);
    const [first] = tokenizer.encode('😀', { addSpecialTokens: false });
    expect(detokenizer.push(first!)).to.equal('');
    expect(detokenizer.flush()).to.equal('\uFFFD');
    expect(detokenizer.push(36)).to.equal('C');
  });

  it('decodes a bounded number of tokens per step, however long the text', () => {
    const tokenizer = tokenizers['a byte-level tokenizer']!;
    let numDecoded = 0;
    const counting = {
      decode(ids: readonly number[]) {
        numDecoded += ids.length;
        return tokenizer.decode(ids);
      },
    };
    const detokenizer = new IncrementalDetokenizer(counting);
    for (let i = 0; i < 1000; i++) detokenizer.push(36);
    expect(numDecoded).to.be.lessThan(1000 * 4);
  });
});
