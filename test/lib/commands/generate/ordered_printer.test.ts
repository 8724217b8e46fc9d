import { expect } from 'chai';
import fc from 'fast-check';
import { OrderedPrinter } from '../../../../lib/commands/generate/ordered_printer.js';

/** Streams' pieces in an arbitrary interleaving; each stream's end comes after its pieces. */
const interleavings = fc
  .array(fc.array(fc.string({ maxLength: 3 }), { maxLength: 5 }), { minLength: 1, maxLength: 5 })
  .chain((streams) => {
    const turns = streams.flatMap((pieces, stream) => new Array<number>(pieces.length + 1).fill(stream));
    return fc.record({
      streams: fc.constant(streams),
      order: fc.shuffledSubarray(turns, { minLength: turns.length, maxLength: turns.length }),
    });
  });

describe('ordered printer', () => {
  it('writes each stream whole, in order, whatever the interleaving', () => {
    fc.assert(
      fc.property(interleavings, ({ streams, order }) => {
        let written = '';
        const printer = new OrderedPrinter(streams.length, (text) => (written += text));
        const next = streams.map(() => 0);
        for (const stream of order) {
          const piece = streams[stream]![next[stream]!++];
          if (piece === undefined) printer.end(stream);
          else printer.push(stream, piece);
        }
        expect(written).to.equal(streams.flat().join(''));
      }),
    );
  });

  it('shows the first unfinished stream live and the next as soon as its turn comes', () => {
    const written: string[] = [];
    const printer = new OrderedPrinter(3, (text) => written.push(text));
    printer.push(1, 'b');
    printer.push(0, 'a');
    expect(written).to.deep.equal(['a']);
    printer.end(0);
    expect(written).to.deep.equal(['a', 'b']);
    printer.push(1, 'c');
    printer.end(2);
    expect(written).to.deep.equal(['a', 'b', 'c']);
    printer.end(1);
    expect(written).to.deep.equal(['a', 'b', 'c']);
  });
});
