import { expect } from 'chai';
import fc from 'fast-check';
import {
  isThinkingBegun,
  THINK_TAGS,
  ThinkingSplitter,
  thinkingStyleOf,
  type Piece,
} from '../../../../../lib/commands/chat/answers/thinking.js';

const HARMONY = thinkingStyleOf('{{ "<|start|>assistant<|channel|>final" }}');
const BRACKETS = thinkingStyleOf('[THINK]');

/** What an answer comes to, given in pieces. */
function split(pieces: readonly string[], style = THINK_TAGS, isBegun = false): { thinking: string; text: string } {
  const splitter = new ThinkingSplitter(style, isBegun);
  const all: Piece[] = [...pieces.flatMap((piece) => splitter.push(piece)), ...splitter.end()];
  const of = (kind: Piece['kind']): string => all.flatMap((piece) => (piece.kind === kind ? piece.text : [])).join('');
  return { thinking: of('thinking'), text: of('text') };
}

const CASES = [
  ['no thought', THINK_TAGS, false, ' Well, <b>a</b>\n', { thinking: '', text: ' Well, <b>a</b>\n' }],
  ['a thought', THINK_TAGS, false, '\n<think>\nhm\n</think>\n\nYes.', { thinking: 'hm\n', text: 'Yes.' }],
  ['an empty thought', THINK_TAGS, false, '<think>\n\n</think>\n\nYes.', { thinking: '', text: 'Yes.' }],
  ['a thought that the prompt began', THINK_TAGS, true, '\nhm</think>Yes.', { thinking: 'hm', text: 'Yes.' }],
  ['a thought without end', THINK_TAGS, false, '<think>hm', { thinking: 'hm', text: '' }],
  ['tags that the answer tells of', THINK_TAGS, false, 'The <think> tag', { thinking: '', text: 'The <think> tag' }],
  [
    'tags after the answer began',
    THINK_TAGS,
    false,
    '<think>a</think>b</think><think>c',
    { thinking: 'a', text: 'b</think><think>c' },
  ],
  ['the beginning of a tag', THINK_TAGS, false, '<thin', { thinking: '', text: '<thin' }],
  ['brackets', BRACKETS, false, '[THINK]hm[/THINK]Yes.', { thinking: 'hm', text: 'Yes.' }],
  [
    'channels',
    HARMONY,
    false,
    '<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>',
    { thinking: 'hm', text: 'Yes.' },
  ],
  ['no channel', HARMONY, false, 'Yes.', { thinking: '', text: 'Yes.' }],
] as const;

describe('thinking', () => {
  for (const [what, style, isBegun, answer, expected] of CASES) {
    it(`is told apart: ${what}`, () => {
      expect(split([answer], style, isBegun)).to.deep.equal(expected);
    });
  }

  it('is told apart alike however the answer is cut into pieces', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CASES), fc.array(fc.nat(80)), ([, style, isBegun, answer, expected], cuts) => {
        const ends = [...new Set([...cuts.filter((at) => at < answer.length), answer.length])].sort((a, b) => a - b);
        const pieces = ends.map((end, i) => answer.slice(ends[i - 1] ?? 0, end));
        expect(pieces.join('')).to.equal(answer);
        expect(split(pieces, style, isBegun)).to.deep.equal(expected);
      }),
    );
  });

  it('shows text at once where it can be no mark', () => {
    const splitter = new ThinkingSplitter(THINK_TAGS);
    expect(splitter.push('Yes')).to.deep.equal([{ kind: 'text', text: 'Yes' }]);
    expect(splitter.push(' <')).to.deep.equal([{ kind: 'text', text: ' <' }]);
  });

  it('was begun by a prompt that ends with the mark', () => {
    expect(isThinkingBegun('<|assistant|><think>\n')).to.equal(true);
    expect(isThinkingBegun('<|assistant|><think>\n\n</think>\n\n')).to.equal(false);
  });

  it('is in marks that are special tokens where the template says so', () => {
    expect([THINK_TAGS, BRACKETS, HARMONY].map(({ isSpecial }) => isSpecial)).to.deep.equal([false, true, true]);
    expect(thinkingStyleOf(undefined)).to.equal(THINK_TAGS);
  });
});
