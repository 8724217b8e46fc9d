import { expect } from 'chai';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { decoderSchema } from '../../../lib/tokenizer/steps/decoders.js';
import { bytesOfToken } from '../../../lib/tokenizer/token_bytes.js';
import { loadTokenizer } from '../../../lib/tokenizer/tokenizer.js';

describe('the bytes of tokens', () => {
  it('put together are the bytes of the text, also where tokens are no whole characters', async () => {
    const tokenizer = (await loadTokenizer(DEMO_MODEL))!;
    for (const text of ['Call me', 'naïve — 漢字 🙂', '\u0000\u007f\u00ad\u00ff']) {
      const ids = tokenizer.encode(text, { addSpecialTokens: false });
      const bytes = ids.flatMap((id) => [...tokenizer.bytesOf(id)!]);
      expect(Buffer.from(bytes).toString()).to.equal(text);
    }
    expect(tokenizer.bytesOf(5000)).to.equal(undefined);
  });

  it('of a vocabulary like GPT-2’s are a character each, all 256 of them', () => {
    let numUnprintable = 0;
    for (let byte = 0; byte < 256; byte++) {
      const isPrintable = /[!-~¡-¬®-ÿ]/.test(String.fromCharCode(byte)); // as in GPT-2's encoder.py
      const code = isPrintable ? byte : 0x100 + numUnprintable++;
      expect([...bytesOfToken(String.fromCharCode(code), 'byte_level')], `${byte}`).to.deep.equal([byte]);
    }
    expect([...bytesOfToken('Ġthe', 'byte_level')]).to.deep.equal([0x20, 0x74, 0x68, 0x65]);
    expect(Buffer.from(bytesOfToken('<｜end｜>', 'byte_level')).toString(), 'an added token').to.equal('<｜end｜>');
  });

  it('of a vocabulary like SentencePiece’s are named by number, and a bar is a space', () => {
    expect([...bytesOfToken('<0xE2>', 'byte_fallback')]).to.deep.equal([0xe2]);
    expect(Buffer.from(bytesOfToken('▁the', 'byte_fallback')).toString()).to.equal(' the');
    expect(Buffer.from(bytesOfToken('<0xE2>', null)).toString()).to.equal('<0xE2>');
  });

  it('are spelled as the decoder of tokenizer.json says, alone or in a sequence', () => {
    const spellingOf = (decoder: object) => decoderSchema.parse(decoder).spelling;
    expect(spellingOf({ type: 'ByteLevel' })).to.equal('byte_level');
    const decoders = [{ type: 'Fuse' }, { type: 'ByteFallback' }, { type: 'Fuse' }];
    expect(spellingOf({ type: 'Sequence', decoders })).to.equal('byte_fallback');
    expect(spellingOf({ type: 'WordPiece' })).to.equal(null);
  });
});
