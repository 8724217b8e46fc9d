import { expect } from 'chai';
import { Told, type News, type StreamEnd, type Telling } from '../../../../../lib/cluster/router/passage/told.js';
import type { Group } from '../../../../../lib/cluster/router/passage/group_reader.js';
import type { OfferedParams } from '../../../../../lib/server/cluster/transfer_params.js';

const bytesOf = (text: string): Buffer => Buffer.from(text);
const tokens = (...tokenIds: number[]): Group => ({
  note: { kind: 'tokens', tokenIds },
  bytes: bytesOf(tokenIds.join('+')),
});
const begun: Group = { note: { kind: 'begun', seed: 5, created: 6, isMovable: true }, bytes: bytesOf('') };
const done: Group = { note: { kind: 'done' }, bytes: bytesOf('done') };

const textOf = ({ bytes }: News): string => bytes.map(String).join(',');

describe('what a client knows', () => {
  it('is what was told, in order', () => {
    const told = new Told();
    const telling: Telling = { position: 0 };
    const news = told.take([begun, tokens(1), tokens(2, 3), done], telling);
    expect([textOf(news), news.numTokens, news.end]).to.deep.equal(['1,2+3,done', 3, { kind: 'done' }]);
    expect([told.tokenIds, told.begun?.seed, telling.position]).to.deep.equal([[1, 2, 3], 5, 3]);
  });

  it('isn’t told again by who begins before it', () => {
    const told = new Told();
    told.take([begun, tokens(1), tokens(2)], { position: 0 });
    const second: Telling = { position: 1 };
    const news = told.take([begun, tokens(2), tokens(3)], second);
    expect([textOf(news), news.numTokens]).to.deep.equal(['3', 1]);
    expect([told.tokenIds, second.position]).to.deep.equal([[1, 2, 3], 3]);
  });

  it('keeps the first one’s seed', () => {
    const told = new Told();
    told.take([begun, tokens(1)], { position: 0 });
    told.take([{ note: { kind: 'begun', seed: 9, created: 9, isMovable: false }, bytes: bytesOf('') }], {
      position: 1,
    });
    expect(told.begun).to.include({ seed: 5, created: 6, isMovable: true });
  });

  it('has no gaps: who leaves tokens out, or tells half of what is known, is given up', () => {
    for (const position of [1, 3]) {
      const told = new Told();
      told.take([tokens(1), tokens(2)], { position: 0 });
      const { end, bytes } = told.take([tokens(2, 3)], { position });
      expect(bytes).to.deep.equal([]);
      expect(end).to.deep.include({ kind: 'broken' });
      const { error } = end as Extract<StreamEnd, { kind: 'broken' }>;
      expect(error.message).to.equal(`NOT_HTTP: a stream goes on at token ${position}, and its client knows 2`);
    }
  });

  it('is all that comes with it, whatever the stream says behind', () => {
    const told = new Told();
    const failed: Group = { note: { kind: 'failed', code: 'draining' }, bytes: bytesOf('error') };
    const news = told.take([begun, tokens(1), tokens(2), failed], { position: 0 });
    expect([textOf(news), news.numTokens, news.end?.kind]).to.deep.equal(['1,2', 2, 'failed']);
  });

  it('ends with what the stream says of its end, whatever comes behind', () => {
    const told = new Told();
    const moved: Group = { note: { kind: 'moved' }, bytes: bytesOf('') };
    expect(told.take([tokens(1), moved, tokens(2)], { position: 0 }).end).to.deep.equal({ kind: 'moved' });
    const failed: Group = { note: { kind: 'failed', code: 'draining' }, bytes: bytesOf('error') };
    const { end, bytes } = told.take([failed], { position: 1 });
    expect(end).to.deep.equal({ kind: 'failed', code: 'draining', bytes: bytesOf('error') });
    expect(bytes).to.deep.equal([]);
  });

  it('has an end without a token once, behind all that is known', () => {
    const told = new Told();
    told.take([tokens(1), tokens(2)], { position: 0 });
    const end: Group = { note: { kind: 'tokens', tokenIds: [] }, bytes: bytesOf('end') };
    expect(textOf(told.take([tokens(2), end], { position: 1 }))).to.equal('end');
    expect(textOf(told.take([end], { position: 1 }))).to.equal('');
  });

  it('brings an offer', () => {
    const params = { lease_id: 'x' } as OfferedParams;
    const news = new Told().take([{ note: { kind: 'kv', params }, bytes: bytesOf('') }], { position: 0 });
    expect(news.offer).to.equal(params);
  });

  it('is whatever comes where nothing is said of it', () => {
    const news = new Told().take([{ note: null, bytes: bytesOf('x') }], { position: 0 });
    expect([textOf(news), news.numTokens, news.isPlain, news.end]).to.deep.equal(['x', 0, true, null]);
  });
});
