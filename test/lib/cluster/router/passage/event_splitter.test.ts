import { expect } from 'chai';
import { EventSplitter, MAX_HELD_BYTES } from '../../../../../lib/cluster/router/passage/event_splitter.js';
import { UpstreamError } from '../../../../../lib/cluster/router/upstream/upstream_error.js';
import { errorOf } from '../../../../kit/rejects.js';

/** What comes of a stream whose chunks end there. */
const split = (text: string, ...ends: readonly number[]): readonly string[] => {
  const splitter = new EventSplitter();
  const bytes = Buffer.from(text);
  const starts = [0, ...ends];
  const pieces = starts.map((start, i) => String(splitter.push(bytes.subarray(start, ends[i] ?? bytes.length))));
  return [...pieces.filter((piece) => piece !== ''), String(splitter.remainder)];
};

const lineEnds: readonly (readonly [string, string])[] = [
  ['\n', 'LF'],
  ['\r\n', 'CRLF'],
];

describe('a stream that is cut at the borders of events', () => {
  for (const [end, name] of lineEnds) {
    const events = ['data: ü', ': comment', 'event: x\ndata: 1\ndata: 2'].map(
      (each) => each.replaceAll('\n', end) + end + end,
    );
    const text = events.join('');

    it(`is the same in all, and each piece whole, wherever chunks end (${name})`, () => {
      const borders = events.map((_, i) => Buffer.byteLength(events.slice(0, i + 1).join('')));
      for (let at = 0; at <= Buffer.byteLength(text); at++) {
        const pieces = split(text, at);
        expect(pieces.join('')).to.equal(text);
        expect(pieces.at(-1)).to.equal('');
        let sum = 0;
        for (const piece of pieces.slice(0, -1)) expect(borders).to.include((sum += Buffer.byteLength(piece)));
      }
    });
  }

  it('keeps what is no event until it ends', () => {
    expect(split('data: 1\n\ndata: 2\n')).to.deep.equal(['data: 1\n\n', 'data: 2\n']);
    expect(split('\n')).to.deep.equal(['\n']);
  });

  it('is given up where an event has no end', async () => {
    const splitter = new EventSplitter();
    const half = Buffer.alloc(MAX_HELD_BYTES / 2 + 1, 'x');
    splitter.push(half);
    expect((await errorOf(UpstreamError, () => splitter.push(half))).code).to.equal('NOT_HTTP');
  });
});
