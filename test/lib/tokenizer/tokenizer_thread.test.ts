import { expect } from 'chai';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { TokenizerError } from '../../../lib/tokenizer/errors.js';
import { loadTokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { TokenizerThread } from '../../../lib/tokenizer/tokenizer_thread.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Takes a minute and more. */
const ENDLESS = ' '.repeat(5_000_000);

describe('a thread that encodes', () => {
  it('gives the tokens that the tokenizer gives, text by text', async () => {
    const tokenizer = (await loadTokenizer(DEMO_MODEL))!;
    const thread = new TokenizerThread(DEMO_MODEL);
    const texts = ['Call me', 'and again', ''];
    const encoded = await Promise.all(texts.map((text) => thread.encode(text)));
    expect(encoded).to.deep.equal(texts.map((text) => tokenizer.encode(text)));
    const bare = await thread.encode('Call me', { addSpecialTokens: false });
    expect(bare).to.deep.equal(tokenizer.encode('Call me', { addSpecialTokens: false }));
    await thread.close();
  });

  it('tells errors with their code and file, and goes on', async () => {
    const thread = new TokenizerThread(DEMO_MODEL);
    const { code, file, reason } = await errorOf(TokenizerError, () => thread.encode(5 as never));
    expect([code, reason]).to.deep.equal(['NOT_ENCODABLE', 'the text is 5']);
    expect(file).to.match(/tokenizer\.json$/);
    expect(await thread.encode('Call me')).to.have.length(4);
    await thread.close();
  });

  it('of a folder without a tokenizer says so', async () => {
    await withTempFolder(async (dir) => {
      const thread = new TokenizerThread(dir);
      expect((await errorOf(TokenizerError, () => thread.encode('x'))).code).to.equal('READ_FAILED');
      await thread.close();
    });
  });

  it('forgets a text that nobody waits for, also while it encodes it, and goes on with the next', async () => {
    const thread = new TokenizerThread(DEMO_MODEL);
    const leaving = new AbortController();
    await thread.encode('x'); // it runs, and is ready
    const [first, second, third] = [
      thread.encode(ENDLESS, {}, leaving.signal),
      thread.encode(ENDLESS, {}, leaving.signal),
      thread.encode('Call me'),
    ];
    const ends = Promise.allSettled([first, second]);
    leaving.abort('gone');
    expect(await ends).to.deep.equal(Array(2).fill({ status: 'rejected', reason: 'gone' }));
    expect(await third).to.have.length(4);
    await thread.close();
  });

  it('that is closed gives up what waits, takes nothing more, and may be closed again', async () => {
    const thread = new TokenizerThread(DEMO_MODEL);
    const waiting = errorOf(TokenizerError, () => thread.encode(ENDLESS));
    await Promise.all([thread.close(), thread.close()]);
    expect((await waiting).code).to.equal('THREAD_ENDED');
    expect((await errorOf(TokenizerError, () => thread.encode('x'))).code).to.equal('THREAD_ENDED');
  });
});
