import { expect } from 'chai';
import { EngineError } from '../../../../lib/protocol/errors.js';
import type { KvSource, SourceState } from '../../../../lib/protocol/kv_source.js';
import { FollowedSource } from '../../../../lib/head/handover/followed_source.js';
import { PlayedKvSource } from '../../../kit/engine/played_kv_source.js';
import { errorOf } from '../../../kit/rejects.js';

const PROMPT = [5, 6, 7];
const REQUEST = { promptTokenIds: PROMPT, outputTokenIds: [], maxNewTokens: 8, seed: null, vocabSize: 2 ** 21 };
const NEVER = new AbortController().signal;

/** A source that says these states, one after the other. */
function saying(...changes: readonly Partial<SourceState>[]): KvSource {
  const played = new PlayedKvSource({ sequence: 0, promptTokenIds: PROMPT }, 4, 2);
  let next = 0;
  const tell = async (): Promise<SourceState> => ({ ...(await played.open(NEVER)), ...changes[next++] });
  const end = (): Promise<void> => Promise.resolve();
  return { open: tell, more: tell, finish: tell, commit: end, rollback: end };
}

const refused = async (change: Partial<SourceState>, request: Partial<typeof REQUEST> = {}): Promise<string> =>
  (await errorOf(EngineError, () => FollowedSource.open(saying(change), { ...REQUEST, ...request }, NEVER))).message;

describe('a source that is followed', () => {
  it('is as good as gone where it has another prompt, seed or tokens than the request, or what can’t be', async () => {
    const wrong: readonly (readonly [Partial<SourceState>, Partial<typeof REQUEST>?])[] = [
      [{ promptDigest: 'another' }],
      [{ numPromptTokens: 4 }],
      [{ seed: 3 }, { seed: 4 as never }],
      [{ outputTokenIds: [1, 2] }, { outputTokenIds: [1, 3] as never }],
      [{ outputTokenIds: [1, -1] }],
      [{ outputTokenIds: [1, 2 ** 21] }],
      [{ outputTokenIds: [1, 0.5] }],
      [{ numTokens: 6 }],
      [{ numTokens: -1 }],
      [{ numTokens: NaN }],
    ];
    for (const [change, request] of wrong) {
      const text = await refused(change, request);
      expect(text, JSON.stringify(change)).to.match(
        /^SOURCE_LOST: the instance that has this request can't be followed/,
      );
    }
  });

  it('may know fewer tokens than the request, or more', async () => {
    const fewer = await FollowedSource.open(
      saying({ outputTokenIds: [1] }),
      { ...REQUEST, outputTokenIds: [1, 2] },
      NEVER,
    );
    expect(fewer.outputTokenIds).to.deep.equal([1, 2]);
    const more = await FollowedSource.open(
      saying({ outputTokenIds: [1, 2, 3], numTokens: 5 }),
      { ...REQUEST, outputTokenIds: [1] },
      NEVER,
    );
    expect(more.outputTokenIds).to.deep.equal([1, 2, 3]);
    const most = await FollowedSource.open(
      saying({ outputTokenIds: [1, 2, 3], numTokens: 5 }),
      { ...REQUEST, maxNewTokens: 2 },
      NEVER,
    );
    expect(most.outputTokenIds, 'as many as the request can have').to.deep.equal([1, 2]);
  });

  it('can’t take back what it said', async () => {
    const followed = await FollowedSource.open(
      saying({ outputTokenIds: [1, 2] }, { outputTokenIds: [1, 4, 5], numTokens: 5 }),
      REQUEST,
      NEVER,
    );
    await errorOf(EngineError, () => followed.more(5, NEVER));
    expect([followed.outputTokenIds, followed.state.outputTokenIds]).to.deep.equal([
      [1, 2],
      [1, 2],
    ]);
  });

  it('that doesn’t pause when it is to is gone', async () => {
    const followed = await FollowedSource.open(saying({}, { isFinal: false }), REQUEST, NEVER);
    const error = await errorOf(EngineError, () => followed.finish(NEVER));
    expect(error.message).to.include('it goes on, though it was to pause');
  });

  it('that never answers is left when the caller has enough of it', async () => {
    const followed = await FollowedSource.open(
      { ...saying({}), more: () => new Promise(() => undefined) },
      REQUEST,
      NEVER,
    );
    const enough = new AbortController();
    const waiting = followed.more(9, enough.signal).catch((error: unknown) => error);
    enough.abort(new Error('enough'));
    expect(await waiting).to.include({ message: 'enough' });
  });

  it('says why it is lost', async () => {
    const open = (): Promise<SourceState> => Promise.reject(new Error('the wire is cut'));
    const error = await errorOf(EngineError, () => FollowedSource.open({ ...saying({}), open }, REQUEST, NEVER));
    expect(error.message).to.include('the wire is cut; send it again with the tokens that came of it');
    expect(error.cause).to.be.instanceOf(Error);
  });
});
