import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TokenizerError } from '../../../../lib/tokenizer/errors.js';
import { loadTokenizer, type Tokenizer } from '../../../../lib/tokenizer/tokenizer.js';
import { repoRoot } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const folder = join(repoRoot(), 'test', 'data', 'tokenizers');
const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'));

/** Null: the library of the format doesn't know special tokens. Text null: something is unknown. */
type Case = readonly [ids: readonly number[], text: string | null] | null;

/** A model folder with a vocabulary of another format and what tokenizer_config.json says. */
const loadAs = (name: string, bytes: Uint8Array | string, config: object): Promise<Tokenizer | undefined> =>
  withTempFolder(async (dir) => {
    await writeFile(join(dir, name), bytes);
    await writeFile(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
    return loadTokenizer(dir);
  });

const specials = (...contents: string[]): object => ({
  added_tokens_decoder: Object.fromEntries(contents.map((content, i) => [700 + i, { content, special: true }])),
});

const RANK_FILES = [
  [
    'kimi.tiktoken',
    'tiktoken.model',
    { tokenizer_class: 'TikTokenTokenizer', ...specials('<s>', '</s>', '<|im_end|>', '[MASK]') },
  ],
  ['qwen.tiktoken', 'qwen.tiktoken', { tokenizer_class: 'QWenTokenizer' }],
  ['gpt4.tiktoken', 'tokenizer.model', specials('<|endoftext|>')],
] as const;

const SENTENCE_PIECE_MODELS = [
  ['llama.model', 'tokenizer.model', { tokenizer_class: 'LlamaTokenizer', add_bos_token: false }],
  ['symbols.model', 'tokenizer.model', {}],
  ['rules.model', 'spiece.model', {}],
  ['bytes.model', 'sentencepiece.bpe.model', {}],
] as const;

describe('a vocabulary of another format', () => {
  const texts = read('texts.json') as string[];

  for (const [golden, name, config] of [...RANK_FILES, ...SENTENCE_PIECE_MODELS]) {
    it(`gives the ids and texts of its own library: ${golden} as ${name}`, async () => {
      const tokenizer = (await loadAs(name, readFileSync(join(folder, 'formats', golden)), config))!;
      const cases = read(`formats/${golden}.json`) as Case[];
      expect(cases.filter((each) => each !== null).length).to.be.at.least(190);
      cases.forEach((each, i) => {
        if (each === null) return;
        const [ids, text] = each;
        expect(tokenizer.encode(texts[i]!), JSON.stringify(texts[i])).to.deep.equal(ids);
        if (text !== null) expect(tokenizer.decode(ids, { skipSpecialTokens: false })).to.equal(text);
      });
    });
  }

  it('has names for reserved ids, and tokens that begin texts by the flags of its class', async () => {
    const kimi = readFileSync(join(folder, 'formats', 'kimi.tiktoken'));
    const named = (await loadAs('tiktoken.model', kimi, {
      tokenizer_class: 'TikTokenTokenizer',
      ...specials('[BOS]'),
    }))!;
    expect(named.vocabSize).to.equal(956);
    expect(named.encode('[BOS]<|reserved_token_701|>')).to.deep.equal([700, 701]);
    const llama = readFileSync(join(folder, 'formats', 'llama.model'));
    const begun = (await loadAs('tokenizer.model', llama, { tokenizer_class: 'LlamaTokenizer', add_bos_token: true }))!;
    expect([begun.bosId, begun.eosId, begun.encode('a')[0]]).to.deep.equal([1, 2, 1]);
    expect([...begun.specialIds]).to.deep.equal([0, 1, 2]);
  });

  it('puts a space in front of the text alone, or of all that stands between special tokens where it is legacy', async () => {
    const llama = readFileSync(join(folder, 'formats', 'llama.model'));
    const idsOf = async (config: object) => (await loadAs('tokenizer.model', llama, config))!.encode('a</s>a');
    const [first, end, bare] = await idsOf({});
    expect(await idsOf({ legacy: true })).to.deep.equal([first, end, first]);
    expect([end, bare === first]).to.deep.equal([2, false]);
  });

  it('stands behind tokenizer.json', async () => {
    await withTempFolder(async (dir) => {
      await cp(join(repoRoot(), 'models', 'moe-7m', 'tokenizer.json'), join(dir, 'tokenizer.json'));
      await writeFile(join(dir, 'tokenizer.model'), 'nothing that is read');
      expect((await loadTokenizer(dir))!.vocabSize).to.equal(2048);
    });
  });

  const llama = readFileSync(join(folder, 'formats', 'llama.model'));
  const WRONG: readonly (readonly [
    claim: string,
    name: string,
    bytes: Uint8Array | string,
    config: object,
    message: RegExp,
  ])[] = [
    [
      'with a token for no byte',
      'tiktoken.model',
      'YWFh 0\n',
      {},
      /no rank file of tiktoken \(the byte 0 has no token\)/,
    ],
    ['with half a line', 'tiktoken.model', 'YWFh 0\nYWFi\n', {}, /line 2 is no token in Base64 with its rank/],
    [
      'of code that isn’t known',
      'tiktoken.model',
      'YWFh 0\n',
      { tokenizer_class: 'XTokenizer' },
      /code of XTokenizer, which isn't known here/,
    ],
    ['that is a text', 'tokenizer.model', 'x\n', {}, /no model of SentencePiece that is supported/],
    ['that is empty', 'tokenizer.model', '', {}, /there are no pieces/],
    ['that is cut off', 'tokenizer.model', llama.subarray(0, 4000), {}, /a field is longer than what is left/],
  ];
  for (const [claim, name, bytes, config, message] of WRONG) {
    it(`${claim} is refused with the file and how to convert it: ${name}`, async () => {
      const error = await errorOf(TokenizerError, () => loadAs(name, bytes, config));
      expect([error.code, error.file?.endsWith(name)]).to.deep.equal(['INVALID_TOKENIZER', true]);
      expect(error.message)
        .to.match(message)
        .and.match(/save_pretrained/);
    });
  }

  it('that was changed anywhere is read, or refused with a coded error', async () => {
    for (let i = 0; i < llama.length; i += 97) {
      const changed = Buffer.from(llama);
      changed[i]! ^= 0xff;
      const outcome = await loadAs('tokenizer.model', changed, {}).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).to.be.instanceOf(TokenizerError);
      else expect((outcome as Tokenizer).encode('Hello')).to.be.an('array');
    }
  });
});
