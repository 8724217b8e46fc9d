import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { byteTokenizer, MIN_BYTE_VOCAB } from '../../../lib/model/random_tokenizer.js';
import { loadTokenizer, type Tokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { withTempFolder } from '../../kit/temp_folder.js';

async function tokenizerOf(vocabSize: number): Promise<Tokenizer> {
  let tokenizer: Tokenizer | undefined;
  await withTempFolder(async (dir) => {
    for (const [name, json] of Object.entries(byteTokenizer(vocabSize)!)) {
      await writeFile(join(dir, name), JSON.stringify(json));
    }
    tokenizer = await loadTokenizer(dir);
  });
  return tokenizer!;
}

/** What the Rust library `tokenizers` 0.23.3 makes of the tokenizer with 2048 tokens. */
const RECORDED: Readonly<Record<string, readonly number[]>> = {
  'Hello, how are you?': [72, 292, 545, 44, 263, 374, 258, 490, 273, 372, 63],
  'the quick  brown fox\n\n': [315, 101, 1594, 397, 107, 32, 1460, 374, 110, 271, 383, 10, 10],
};

describe('the tokenizer of a random checkpoint', () => {
  for (const vocabSize of [MIN_BYTE_VOCAB, 300, 2048, 2 ** 15]) {
    it(`${vocabSize} tokens: gives every text back, has as many ids as the model, and none of them ends a text`, async () => {
      const tokenizer = await tokenizerOf(vocabSize);
      const everything = Array.from({ length: 0x250 }, (_, i) => String.fromCodePoint(i)).join('');
      for (const text of ['', 'the quick  brown fox\n\n', 'héllo 世界 👋🏽', everything]) {
        expect(tokenizer.decode(tokenizer.encode(text), { skipSpecialTokens: false })).to.equal(text);
      }
      expect(tokenizer.vocabSize).to.equal(vocabSize);
      expect(tokenizer.eosId).to.equal(undefined);
      expect([...tokenizer.specialIds]).to.have.members([vocabSize - 2, vocabSize - 1]);
      for (let id = 0; id < vocabSize; id += 97) expect(tokenizer.tokenOf(id), String(id)).to.be.a('string');
    });
  }

  it('writes what the Rust library writes', async () => {
    const tokenizer = await tokenizerOf(2048);
    for (const [text, ids] of Object.entries(RECORDED)) expect(tokenizer.encode(text), text).to.deep.equal(ids);
  });

  it('puts a conversation into ChatML', async () => {
    const tokenizer = await tokenizerOf(512);
    const chat = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
    ] as const;
    const text = '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n';
    expect(tokenizer.renderChat(chat)).to.equal(text);
    expect(tokenizer.encodeChat(chat).filter((id) => id >= 510)).to.deep.equal([510, 511, 510, 511, 510]);
  });

  it('there is none for a vocabulary that the bytes don’t fit', () => {
    expect(byteTokenizer(MIN_BYTE_VOCAB - 1)).to.equal(null);
  });

  it('of a vocabulary of millions, the last ids but those of messages have no token', () => {
    const { model, added_tokens: added } = byteTokenizer(2 ** 20)!['tokenizer.json'] as {
      readonly model: { readonly vocab: Readonly<Record<string, number>> };
      readonly added_tokens: readonly { readonly id: number }[];
    };
    expect(Object.keys(model.vocab)).to.have.length(256 + 2 ** 18);
    expect(added.map(({ id }) => id)).to.deep.equal([2 ** 20 - 2, 2 ** 20 - 1]);
  });
});
