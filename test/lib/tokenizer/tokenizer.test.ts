import { expect } from 'chai';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TokenizerError } from '../../../lib/tokenizer/errors.js';
import { loadTokenizer, type Tokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { moe7m, repoRoot, tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { sentencePieceTokenizer } from '../../kit/model/tokenizers.js';

interface GoldenCase {
  readonly domain: string;
  readonly prompt: string;
  readonly prompt_token_ids: readonly number[];
  readonly greedy_token_ids: readonly number[];
  readonly text: string;
}

async function goldenCases(): Promise<readonly GoldenCase[]> {
  const golden = JSON.parse(await readFile(join(moe7m(), 'golden.json'), 'utf8')) as { cases: GoldenCase[] };
  return golden.cases;
}

/** Loads the trained model's tokenizer after changing some of its files; null removes nothing, a text replaces. */
async function loadWith(files: Readonly<Record<string, string>>): Promise<Tokenizer | undefined> {
  return withTempFolder(async (dir) => {
    for (const name of ['tokenizer.json', 'tokenizer_config.json']) await cp(join(moe7m(), name), join(dir, name));
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
    return loadTokenizer(dir);
  });
}

/** The trained model's tokenizer with a post-processor that adds nothing, as DeepSeek ships its tokenizers. */
function withoutTemplate(
  postProcessor: unknown = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
): string {
  const tokenizer = JSON.parse(readFileSync(join(moe7m(), 'tokenizer.json'), 'utf8')) as object;
  return JSON.stringify({ ...tokenizer, post_processor: postProcessor });
}

const anyText = () => fc.string({ unit: 'grapheme', maxLength: 40 });
const MESSAGES = [{ role: 'user', content: 'Hi' }];

describe('a tokenizer', () => {
  it('says what a caller gave that is no text', async () => {
    const tokenizer = (await loadTokenizer(moe7m()))!;
    for (const text of [undefined, 5, {}, null]) {
      const error = await errorOf(TokenizerError, () => tokenizer.encode(text as string));
      expect(error.message).to.match(/^NOT_ENCODABLE: the text is .*; give a string$/);
    }
  });
});

describe('tokenizer', () => {
  let tokenizer: Tokenizer;
  before(async () => {
    tokenizer = (await loadTokenizer(moe7m()))!;
  });

  it('encodes the prompts and decodes the texts of the golden cases exactly', async () => {
    const cases = await goldenCases();
    expect(cases.length).to.equal(12);
    for (const { prompt, prompt_token_ids, greedy_token_ids, text } of cases) {
      expect(tokenizer.encode(prompt)).to.deep.equal(prompt_token_ids);
      expect(tokenizer.decode(greedy_token_ids)).to.equal(text);
    }
  });

  it('decoding what was encoded gives any text back, with its white space', () => {
    fc.assert(
      fc.property(anyText(), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).to.equal(text);
      }),
    );
    expect(tokenizer.decode(tokenizer.encode(" don 't , do  .  \n"))).to.equal(" don 't , do  .  \n");
  });

  it('knows its size and its special tokens', () => {
    expect(tokenizer.vocabSize).to.equal(2048);
    expect([tokenizer.bosId, tokenizer.eosId]).to.deep.equal([0, 1]);
    expect([...tokenizer.specialIds]).to.deep.equal([0, 1]);
  });

  it('special tokens are added and skipped unless it is told otherwise', () => {
    expect(tokenizer.encode('')).to.deep.equal([0]);
    expect(tokenizer.encode('', { addSpecialTokens: false })).to.deep.equal([]);
    expect(tokenizer.encode('C', { addSpecialTokens: false })).to.deep.equal([36]);
    expect(tokenizer.decode([0, 36, 1])).to.equal('C');
    expect(tokenizer.decode([0, 36, 1], { skipSpecialTokens: false })).to.equal('<|begin|>C<|end|>');
  });

  it('the class and the flags of tokenizer_config.json say what is put around a text where tokenizer.json has no template', async () => {
    const template = (JSON.parse(readFileSync(join(moe7m(), 'tokenizer.json'), 'utf8')) as { post_processor: object })
      .post_processor;
    const names = { bos_token: '<|begin|>', eos_token: '<|end|>' };
    const LLAMA = 'LlamaTokenizerFast';
    for (const [postProcessor, config, expected] of [
      [undefined, { tokenizer_class: LLAMA, add_bos_token: true, add_eos_token: false }, [0, 36]],
      [undefined, { tokenizer_class: LLAMA }, [0, 36]],
      [undefined, { tokenizer_class: LLAMA, add_bos_token: false }, [36]],
      [undefined, { tokenizer_class: LLAMA, add_bos_token: false, add_eos_token: true }, [36, 1]],
      [undefined, { tokenizer_class: LLAMA, add_eos_token: true }, [0, 36, 1]],
      [null, { tokenizer_class: 'LlamaTokenizer', add_bos_token: null }, [0, 36]],
      [undefined, { add_bos_token: true }, [0, 36]],
      [undefined, {}, [36]],
      [undefined, { tokenizer_class: 'PreTrainedTokenizerFast', add_bos_token: true }, [36]],
      [undefined, { tokenizer_class: 'Qwen2Tokenizer', add_bos_token: true }, [36]],
      [undefined, { tokenizer_class: LLAMA, bos_token: null }, [36]],
      [template, { tokenizer_class: LLAMA, add_bos_token: false, add_eos_token: true }, [0, 36]],
      [{ type: 'Sequence', processors: [template] }, { tokenizer_class: LLAMA, add_bos_token: true }, [0, 36]],
    ] as const) {
      const files = {
        'tokenizer.json': withoutTemplate(postProcessor),
        'tokenizer_config.json': JSON.stringify({ ...names, ...config }),
      };
      const tokenizer = (await loadWith(files))!;
      expect(tokenizer.encode('C'), files['tokenizer_config.json']).to.deep.equal(expected);
      expect(tokenizer.encode('C', { addSpecialTokens: false })).to.deep.equal([36]);
    }
  });

  it('cuts texts at added tokens as the reference library does: whole words, white space, normalised texts', async () => {
    const golden = JSON.parse(
      readFileSync(join(repoRoot(), 'test', 'data', 'conformance', 'added_tokens.json'), 'utf8'),
    ) as { texts: string[]; cases: { name: string; tokens: object[]; normalizer: object | null; ids: number[][] }[] };
    const base = JSON.parse(readFileSync(join(moe7m(), 'tokenizer.json'), 'utf8')) as { added_tokens: object[] };
    expect(golden.cases.length).to.be.above(30);
    for (const { name, tokens, normalizer, ids } of golden.cases) {
      const json = { ...base, normalizer, added_tokens: [...base.added_tokens, ...tokens] };
      const own = (await loadWith({ 'tokenizer.json': JSON.stringify(json) }))!;
      golden.texts.forEach((text, i) => {
        expect(own.encode(text, { addSpecialTokens: false }), `${name}: ${JSON.stringify(text)}`).to.deep.equal(ids[i]);
      });
    }
  });

  it('ids without a token decode to nothing', () => {
    expect(tokenizer.decode([])).to.equal('');
    expect(tokenizer.decode([36, 2048, 99_999, 36])).to.equal('CC');
  });

  it('a SentencePiece tokenizer falls back to bytes and drops one space at the beginning', () => {
    const sentencePiece = sentencePieceTokenizer();
    const text = 'a  b é中😀';
    expect(sentencePiece.decode(sentencePiece.encode(text))).to.equal(text);
    expect(sentencePiece.encode('😀').filter((id) => id >= 3 && id < 259).length).to.equal(4);
  });

  it('a text that no token covers is refused', async () => {
    const wordPiece = JSON.stringify({
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Whitespace' },
      post_processor: null,
      decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
      model: { type: 'WordPiece', vocab: { a: 0 }, unk_token: '[UNK]', continuing_subword_prefix: '##' },
    });
    const tokenizer = (await loadWith({ 'tokenizer.json': wordPiece }))!;
    expect(tokenizer.encode('a')).to.deep.equal([0]);
    const error = await errorOf(TokenizerError, () => tokenizer.encode('a q'));
    expect(error.code).to.equal('NOT_ENCODABLE');
    expect(error.message).to.match(/at token 1.*remove unusual characters/);
  });

  it('a folder without tokenizer.json has no tokenizer', async () => {
    expect(await loadTokenizer(tinyModel('tiny-deepseek-v3'))).to.equal(undefined);
  });

  it('tokenizer_config.json may be missing', async () => {
    await withTempFolder(async (dir) => {
      await cp(join(moe7m(), 'tokenizer.json'), join(dir, 'tokenizer.json'));
      const loaded = (await loadTokenizer(dir))!;
      expect([loaded.bosId, loaded.eosId, loaded.chatTemplates.sources.size]).to.deep.equal([undefined, undefined, 0]);
    });
  });

  const WRONG: readonly (readonly [claim: string, name: string, text: string, message: RegExp])[] = [
    ['that is empty', 'tokenizer.json', '', /not valid JSON/],
    ['that is cut off', 'tokenizer.json', '{"added_tokens": [', /not valid JSON/],
    ['that is a list', 'tokenizer.json', '[]', /the file: /],
    ['with a token without text', 'tokenizer.json', '{"added_tokens": [{"id": 1}]}', /"added_tokens.0.content": /],
    ['without a model', 'tokenizer.json', '{"added_tokens": []}', /"model": /],
    ['without a vocabulary', 'tokenizer.json', '{"added_tokens": [], "model": {"type": "BPE"}}', /"model.vocab": /],
    ['with a negative id', 'tokenizer.json', '{"added_tokens": [], "model": {"vocab": {"a": -1}}}', /"model.vocab/],
    [
      'with steps nobody knows',
      'tokenizer.json',
      '{"decoder": {"type": "X"}, "model": {"vocab": {}}}',
      /"decoder.type": /,
    ],
    [
      'with half a template',
      'tokenizer.json',
      withoutTemplate({ type: 'TemplateProcessing' }),
      /"post_processor.single/,
    ],
    [
      'with half a merge',
      'tokenizer.json',
      '{"model": {"type": "BPE", "vocab": {"a": 1}, "merges": ["a"]}}',
      /"model.merges.0": /,
    ],
    ['that is not JSON', 'tokenizer_config.json', '{', /not valid JSON/],
    ['with a number as bos_token', 'tokenizer_config.json', '{"bos_token": 1}', /"bos_token": /],
    ['with a number as template', 'tokenizer_config.json', '{"chat_template": 1}', /"chat_template": /],
  ];
  for (const [claim, name, text, message] of WRONG) {
    it(`a ${name} ${claim} is refused with the file and the field`, async () => {
      const error = await errorOf(TokenizerError, () => loadWith({ [name]: text }));
      expect(error.code).to.equal('INVALID_TOKENIZER');
      expect(error.message)
        .to.match(message)
        .and.match(/; download the tokenizer's files again$/);
      expect(error.file).to.contain(name);
    });
  }

  it('files that are not text, or pointers of Git, are told as such', async () => {
    await withTempFolder(async (dir) => {
      for (const [bytes, what] of [
        [Buffer.from([0x7b, 0xff, 0x7d]), 'not UTF-8'],
        [Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n'), 'Git LFS pointer'],
      ] as const) {
        await writeFile(join(dir, 'tokenizer.json'), bytes);
        const error = await errorOf(TokenizerError, () => loadTokenizer(dir));
        expect(error.code).to.equal('INVALID_TOKENIZER');
        expect(error.message).to.contain(what).and.contain('tokenizer.json');
      }
    });
  });

  it('ids that the model does not have are refused with both numbers and the file', async () => {
    tokenizer.checkVocab(2048);
    tokenizer.checkVocab(4096);
    const error = await errorOf(TokenizerError, () => tokenizer.checkVocab(2047));
    expect(error.code).to.equal('VOCAB_MISMATCH');
    expect(error.message)
      .to.contain(`${join(moe7m(), 'tokenizer.json')} has token ids up to 2047`)
      .and.contain('2047;');
  });
});

describe('chat of a tokenizer', () => {
  const config = (fields: object) =>
    JSON.stringify({ bos_token: '<|begin|>', eos_token: { content: '<|end|>' }, ...fields });

  it('gets no special token but those that the template writes', async () => {
    const tokenizer = (await loadTokenizer(moe7m()))!;
    expect(tokenizer.renderChat(MESSAGES)).to.equal('Hi\n');
    expect(tokenizer.encodeChat(MESSAGES)).to.deep.equal(tokenizer.encode('Hi\n', { addSpecialTokens: false }));
    const ending = JSON.stringify({
      tokenizer_class: 'LlamaTokenizerFast',
      add_eos_token: true,
      ...JSON.parse(config({ chat_template: 'x' })),
    });
    const llama = (await loadWith({ 'tokenizer.json': withoutTemplate(), 'tokenizer_config.json': ending }))!;
    expect(llama.encode('x')).to.have.length(3);
    expect(llama.encodeChat(MESSAGES)).to.have.length(1);
  });

  it('knows the other special tokens of tokenizer_config.json too', async () => {
    const chat_template = '{{ pad_token }}{{ unk_token }}|{{ mask_token is defined }}';
    const tokenizer = (await loadWith({
      'tokenizer_config.json': config({ chat_template, pad_token: 'P', unk_token: { content: 'U' } }),
    }))!;
    expect(tokenizer.renderChat(MESSAGES)).to.equal('PU|False');
  });

  it('has the token for the beginning once when the template writes it', async () => {
    const chat_template = '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}';
    const tokenizer = (await loadWith({ 'tokenizer_config.json': config({ chat_template }) }))!;
    expect(tokenizer.encodeChat(MESSAGES)).to.deep.equal([
      0,
      ...tokenizer.encode('Hi', { addSpecialTokens: false }),
      1,
    ]);
  });

  it('uses the template named default of several, and chat_template.jinja before all', async () => {
    const chat_template = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'default' },
    ];
    const files = { 'tokenizer_config.json': config({ chat_template }) };
    expect((await loadWith(files))!.renderChat(MESSAGES)).to.equal('default');
    expect((await loadWith({ ...files, 'chat_template.jinja': 'file' }))!.renderChat(MESSAGES)).to.equal('file');
  });

  it('without a template is refused', async () => {
    const tokenizer = (await loadWith({ 'tokenizer_config.json': config({}) }))!;
    const error = await errorOf(TokenizerError, () => tokenizer.encodeChat(MESSAGES));
    expect(error.code).to.equal('NO_CHAT_TEMPLATE');
  });
});
