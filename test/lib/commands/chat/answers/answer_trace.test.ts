import { expect } from 'chai';
import { AnswerTrace } from '../../../../../lib/commands/chat/answers/answer_trace.js';

/** Rows of one layer with one expert each. */
const rows = (...experts: readonly number[]): number[][][] => experts.map((expert) => [[expert]]);
const told = (trace: AnswerTrace): (readonly [string, number | null])[] =>
  trace.tokens.map(({ text, experts }) => [text, experts?.[0]?.[0] ?? null]);

describe('the trace of an answer', () => {
  it('leaves the rows of the prompt out, and the last token has none', () => {
    const trace = new AnswerTrace();
    trace.add({ texts: ['a'], rows: rows(9, 9, 9) });
    trace.add({ texts: ['b'], rows: rows(1) });
    trace.add({ texts: ['c'], rows: rows(2) });
    expect(told(trace)).to.deep.equal([
      ['a', 1],
      ['b', 2],
      ['c', null],
    ]);
  });

  it('is the same where several tokens come at once', () => {
    const trace = new AnswerTrace();
    trace.add({ texts: ['a', 'b'], rows: rows(9, 9, 1) });
    trace.add({ texts: ['c', 'd'], rows: rows(2, 3) });
    trace.add({ texts: [], rows: [] });
    expect(told(trace)).to.deep.equal([
      ['a', 1],
      ['b', 2],
      ['c', 3],
      ['d', null],
    ]);
  });

  it('knows its layers from its rows, and none without', () => {
    const trace = new AnswerTrace();
    trace.add({ texts: ['a'], rows: [] });
    expect(trace.numLayers).to.equal(0);
    trace.add({ texts: ['b'], rows: [[[1], [2]]] });
    expect(trace.numLayers).to.equal(2);
  });
});
