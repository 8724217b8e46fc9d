import { expect } from 'chai';
import fc from 'fast-check';
import { TokenizerError } from '../../../lib/tokenizer/errors.js';
import { StopScanner } from '../../../lib/tokenizer/stop_strings.js';
import { errorOf } from '../../kit/rejects.js';

/** The definition, letter by letter: the stop string that ends first behind what was passed, and of those the longest. */
function reference(
  text: string,
  stops: readonly string[],
  { numPassed = 0, isIncluded = false } = {},
): { text: string; stop: string | undefined } {
  for (let end = numPassed + 1; end <= text.length; end++) {
    const ending = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    const stop = ending.sort((a, b) => b.length - a.length)[0];
    if (stop !== undefined) return { text: text.slice(0, isIncluded ? end : end - stop.length), stop };
  }
  return { text, stop: undefined };
}

describe('stop strings', () => {
  it('are found where the definition says, however the text is cut, whatever is passed first, and nothing is handed out too early', () => {
    const letters = (min: number, max: number) =>
      fc.string({ unit: fc.constantFrom('a', 'b', '\n'), minLength: min, maxLength: max });
    fc.assert(
      fc.property(
        fc.array(letters(0, 5), { maxLength: 12 }),
        fc.array(letters(1, 4), { maxLength: 4 }),
        fc.constantFrom(0, 0, 1, 4),
        fc.boolean(),
        (pieces, stops, numPassedPieces, isIncluded) => {
          const numPassed = pieces.slice(0, numPassedPieces).join('').length;
          const expected = reference(pieces.join(''), stops, { numPassed, isIncluded });
          const scanner = new StopScanner(stops, { isIncluded });
          let text = '';
          let stop: string | undefined;
          for (const [i, piece] of pieces.entries()) {
            const scan = i < numPassedPieces ? scanner.pass(piece) : scanner.push(piece);
            text += scan.text;
            stop = scan.stop;
            expect(expected.text.startsWith(text)).to.equal(true);
          }
          expect({ text: text + scanner.flush(), stop }).to.deep.equal(expected);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('hold back only what may be the beginning of one', () => {
    const scanner = new StopScanner(['\n\nUser:']);
    expect(scanner.push('Hello\n')).to.deep.equal({ text: 'Hello', stop: undefined });
    expect(scanner.push('\nUs')).to.deep.equal({ text: '', stop: undefined });
    expect(scanner.push('ual')).to.deep.equal({ text: '\n\nUsual', stop: undefined });
    expect(scanner.push('\n\nUser: x')).to.deep.equal({ text: '', stop: '\n\nUser:' });
    expect(scanner.push('more')).to.deep.equal({ text: '', stop: '\n\nUser:' });
    expect(scanner.flush()).to.equal('');
  });

  it('hold back nothing when there are none', () => {
    expect(new StopScanner([]).push('text')).to.deep.equal({ text: 'text', stop: undefined });
  });

  it('that are long and repeat themselves cost one look at each character', () => {
    const spaces = ' '.repeat(6000);
    const scanner = new StopScanner(Array.from({ length: 1000 }, (_, i) => `${spaces}${i}`));
    const beganMs = performance.now();
    expect(scanner.push(spaces)).to.deep.equal({ text: '', stop: undefined });
    // What was held back begins no stop string any more, nor does any end of it.
    expect(scanner.push('x')).to.deep.equal({ text: `${spaces}x`, stop: undefined });
    // Comparing each end of what was held with each stop string takes more than a minute.
    expect(performance.now() - beganMs).to.be.below(15_000);
  });

  it('that are empty are refused', async () => {
    expect((await errorOf(TokenizerError, () => new StopScanner(['a', '']))).code).to.equal('INVALID_ARGUMENT');
  });
});
