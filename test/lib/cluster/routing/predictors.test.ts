import { expect } from 'chai';
import { LengthPredictor } from '../../../../lib/cluster/routing/length_predictor.js';
import { SessionTable } from '../../../../lib/cluster/routing/session_table.js';
import { Speeds } from '../../../../lib/cluster/routing/speeds.js';
import { reportOf } from '../../../kit/cluster/views.js';

describe('LengthPredictor', () => {
  const clues = (session: string | null, numPromptTokens: number, maxNewTokens = 5000) => ({ session, numPromptTokens, maxNewTokens }); // prettier-ignore

  it('takes the median of outputs of the session, else of such prompts, else of all, else the limit', () => {
    const lengths = new LengthPredictor([64, 256]);
    expect(lengths.predict(clues('s', 10))).to.deep.equal({ from: 256, to: 5001 });
    expect(lengths.predict(clues('s', 10, 100))).to.deep.equal({ from: 64, to: 101 });
    for (let i = 0; i < 5; i++) lengths.observe(clues(null, 1000), 10);
    expect(lengths.predict(clues('s', 10)), 'all').to.deep.equal({ from: 0, to: 64 });
    for (let i = 0; i < 9; i++) lengths.observe(clues(null, 15), 100);
    expect(lengths.predict(clues('s', 10)), 'prompts of 8 to 15 tokens').to.deep.equal({ from: 64, to: 256 });
    expect(lengths.predict(clues('s', 1010)), 'prompts of 512 to 1023 tokens').to.deep.equal({ from: 0, to: 64 });
    for (let i = 0; i < 5; i++) lengths.observe(clues('s', 10), 4000);
    expect(lengths.predict(clues('s', 1010)), 'the session').to.deep.equal({ from: 256, to: 5001 });
  });

  it('follows a load that changes', () => {
    const lengths = new LengthPredictor([64]);
    for (let i = 0; i < 1000; i++) lengths.observe(clues(null, 10), 10);
    for (let i = 0; i < 30; i++) lengths.observe(clues(null, 10), 100);
    expect(lengths.predict(clues(null, 10))).to.deep.equal({ from: 64, to: 5001 });
  });

  it('never predicts more than the limit allows', () => {
    const lengths = new LengthPredictor([64, 256]);
    for (let i = 0; i < 9; i++) lengths.observe(clues(null, 10, 300), 299);
    expect(lengths.predict(clues(null, 10, 40))).to.deep.equal({ from: 40, to: 41 });
  });
});

describe('SessionTable', () => {
  it('remembers where sessions are until they were quiet too long, or too many came since', () => {
    const sessions = new SessionTable({ ttlMs: 100, maxSessions: 2 });
    sessions.set('s', 'a', 0);
    expect([sessions.instanceOf('s', 99), sessions.instanceOf('s', 100), sessions.instanceOf('t', 0)]).to.deep.equal(['a', null, null]); // prettier-ignore
    sessions.set('s', 'b', 100);
    sessions.set('t', 'c', 110);
    sessions.set('s', 'b', 120);
    sessions.set('u', 'd', 130);
    expect(['s', 't', 'u'].map((session) => sessions.instanceOf(session, 140))).to.deep.equal(['b', null, 'd']);
  });
});

describe('Speeds', () => {
  it('know nothing before anything was seen', () => {
    expect(new Speeds().rates(3)).to.deep.equal({ prefillTokensPerS: null, tbtMs: null, requestsPerS: null, latencyMs: null }); // prettier-ignore
  });

  it('read the time between tokens off a line through the numbers of sequences', () => {
    const speeds = new Speeds();
    for (const numRunning of [1, 4, 2, 8]) speeds.reported(reportOf('a', { numRunning, tbtMs: 10 + 2 * numRunning }));
    expect(speeds.rates(5).tbtMs).to.be.closeTo(22, 1e-9);
    speeds.saw({ latencyMs: 100, tbtMs: 900, numRequests: 1 });
    expect(speeds.rates(5).tbtMs, 'it reports, so what is seen from afar doesn’t count').to.be.closeTo(22, 1e-9);
    const flat = new Speeds();
    for (let i = 0; i < 3; i++) flat.reported(reportOf('a', { numRunning: 4, tbtMs: 18 }));
    expect(flat.rates(9).tbtMs, 'one number of sequences says nothing of others').to.be.closeTo(18, 1e-9);
  });

  it('take what an instance reports of prompts, and otherwise what came before first tokens', () => {
    const speeds = new Speeds();
    speeds.sawFirstToken(200, 100);
    expect(speeds.rates(0).prefillTokensPerS).to.equal(2000);
    speeds.reported(reportOf('a', { prefillTokensPerS: 3000 }));
    speeds.sawFirstToken(200, 100);
    expect(speeds.rates(0).prefillTokensPerS).to.equal(3000);
  });

  it('keep the mean of the last 15 latencies, and how many requests end per second', () => {
    const speeds = new Speeds();
    for (let i = 1; i <= 20; i++) speeds.saw({ latencyMs: 100 * i, tbtMs: null, numRequests: i });
    const { latencyMs, requestsPerS } = speeds.rates(0);
    expect(latencyMs).to.equal(1300);
    expect(requestsPerS).to.be.closeTo(10, 1e-9);
  });
});
