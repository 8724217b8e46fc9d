import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipelineSchema } from '../../../../lib/tokenizer/pipeline/pipeline.js';
import { Tokenizer } from '../../../../lib/tokenizer/tokenizer.js';
import { repoRoot } from '../../../kit/paths.js';

const folder = join(repoRoot(), 'test', 'data', 'tokenizers');

const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'));

/** What the reference library made of one text: its ids, what stands around them, and what all of them decode to. */
type Case = readonly [
  ids: readonly number[],
  around: readonly [before: readonly number[], after: readonly number[]],
  textWithoutSpecials: string,
  text: string | null, // null: the same
];

const texts = read('texts.json') as string[];
const kinds = readdirSync(join(folder, 'kinds')).map((name) => name.replace(/\.json$/, ''));

function readKind(kind: string): { readonly tokenizer: Tokenizer; readonly cases: readonly Case[] } {
  const { tokenizer: json, cases } = read(`kinds/${kind}.json`) as { tokenizer: object; cases: readonly Case[] };
  const parsed = pipelineSchema.parse(json);
  return { tokenizer: new Tokenizer({ file: kind, tokenizer: parsed, config: {}, chatTemplates: new Map() }), cases };
}

describe('a tokenizer beside the reference library', () => {
  it('is looked at in 20 kinds, with 200 texts each', () => {
    expect([kinds.length, new Set(texts).size]).to.deep.equal([20, 200]);
  });

  for (const kind of kinds) {
    it(`gives the same ids and texts: ${kind}`, () => {
      const { tokenizer, cases } = readKind(kind);
      expect(cases.length).to.equal(texts.length);
      cases.forEach(([ids, [before, after], skipped, whole], i) => {
        const text = texts[i]!;
        const name = JSON.stringify(text);
        const all = [...before, ...ids, ...after];
        expect(tokenizer.encode(text, { addSpecialTokens: false }), name).to.deep.equal(ids);
        expect(tokenizer.encode(text), `${name} with special tokens`).to.deep.equal(all);
        expect(tokenizer.decode(all), `${name} decoded`).to.equal(skipped);
        expect(tokenizer.decode(all, { skipSpecialTokens: false }), `${name} decoded whole`).to.equal(whole ?? skipped);
      });
    });
  }

  /** Of tokenizers 0.23.3. */
  const FURTHER: readonly (readonly [title: string, kind: string, Readonly<Record<string, readonly number[]>>])[] = [
    [
      'takes letters of any case in a group of a pattern, and U+0345 for no letter beside it',
      'qwen',
      {
        '\u0345<s>': [137, 227, 27, 82, 29],
        "IT'S \u0345's '\u017f": [40, 51, 6, 50, 220, 137, 227, 6, 82, 280, 129, 123],
      },
    ],
    [
      'goes on behind a token of white space that the one before it took along',
      'added_tokens',
      { '</s>   x': [702, 707, 220, 87], '</s>   *': [702, 707, 440], '</s>      y': [702, 707, 707, 707, 88] },
    ],
  ];
  for (const [title, kind, ids] of FURTHER) {
    it(title, () => {
      const { tokenizer } = readKind(kind);
      for (const [text, expected] of Object.entries(ids)) {
        expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).to.deep.equal(expected);
      }
    });
  }
});
