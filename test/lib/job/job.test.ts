import { expect } from 'chai';
import { asRank } from '../../../base/ids.js';
import { CommError, remoteErrorOf } from '../../../comm/base/errors.js';
import type { ControlLink, LinkClosed } from '../../../comm/job/control_link.js';
import type { ControlMessage } from '../../../comm/job/messages.js';
import { Job, type JobParts } from '../../../lib/job/job.js';
import type { LocalNewcomer } from '../../../lib/job/local_ranks.js';
import type { NewcomersParts } from '../../../lib/job/newcomers.js';
import type { RankExit } from '../../../lib/job/rank_process.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { HeadToRank, LoadReport, StepPlan } from '../../../lib/protocol/step_plan.js';
import { errorOf } from '../../kit/rejects.js';

const nothing = (): Promise<void> => Promise.resolve();

/** A job of ranks that say what they are told to say, and end when they are told to. */
function playedJob(numRanks: number, { onPeerLoss = 'fail', plugins = [], ...more }: Partial<JobParts> = {}) {
  const say: ((message: ControlMessage) => void)[] = [];
  const end: ((exit: RankExit) => void)[] = [];
  const exits = Array.from({ length: numRanks }, (_, i) => new Promise<RankExit>((resolve) => (end[i] = resolve)));
  const told: string[] = [];
  const linkOf = (i: number) => ({
    isOpen: true,
    send: (message: ControlMessage) => void told.push(`${i}: ${lineOf(message)}`),
    onMessage: (hear: ((message: ControlMessage) => void) | undefined) => void (say[i] = hear!),
    watch: () => () => Promise.resolve(true),
    ...closing(),
  });
  const links = Array.from({ length: numRanks }, (_, i) => linkOf(i));
  const started: (() => void)[] = [];
  const start = (): LocalNewcomer => ({
    rank: numRanks + started.length,
    exit: new Promise((resolve) => started.push(() => resolve({ rank: null, pid: 9, code: 1, signal: null }))),
    kill: () => undefined,
    ended: nothing,
  });
  const awaited: number[] = [];
  const ended = (rank: number): Promise<void> => {
    awaited.push(rank);
    return nothing();
  };
  const local: JobParts['local'] = { exits, start, kill: () => undefined, ended, close: nothing };
  let door: Parameters<NewcomersParts['open']>[0];
  const vacated: number[] = [];
  const newcomers: NewcomersParts = {
    open: (options) => {
      door = options;
      return { hear: () => undefined, vacate: (rank) => void vacated.push(rank) };
    },
    check: nothing,
    numSpares: 0,
    timeoutMs: 60_000,
    silenceMs: 60_000,
  };
  const times = { stepTimeoutMs: 60_000, enterTimeoutMs: 60_000 };
  const parts = { local, links, reports: links.map(() => REPORT), newcomers, onPeerLoss, plugins, ...times, ...more };
  const job = new Job({ rendezvous: { close: nothing }, ...parts });
  /** Somebody has loaded, on a free seat, and is linked to all others. */
  const come = async (seat: number): Promise<void> => {
    const link = linkOf(seat) as unknown as ControlLink;
    door.onCandidate({ rank: asRank(seat), link });
    say[seat]!({ type: 'job', body: { kind: 'loaded', report: REPORT } });
    await new Promise(setImmediate);
  };
  return { job, say, end, told, come, vacated, started, awaited };
}

/** All ranks run elsewhere. */
const NO_PROCESSES = {
  exits: [],
  kill: () => undefined,
  ended: nothing,
  close: nothing,
} as unknown as JobParts['local'];

/** The end of a link that closes when it is told to. */
function closing(): Pick<ControlLink, 'closed' | 'close'> {
  let settle: (how: LinkClosed) => void;
  const closed = new Promise<LinkClosed>((resolve) => (settle = resolve));
  const close = (): Promise<void> => {
    settle({ kind: 'closed' });
    return nothing();
  };
  return { closed, close };
}

const REPORT = { pid: 7 } as LoadReport;

function lineOf(message: ControlMessage): string {
  if (message.type !== 'job') return message.type;
  const body = message.body as HeadToRank;
  if (body.kind !== 'epoch') return body.kind;
  const { epoch, members, placement } = body;
  return `epoch ${epoch} of ${members.join()}${placement === undefined ? '' : ` in version ${placement.version}`}`;
}

const planOf = (step: number): StepPlan => ({ step, epoch: 0, placementVersion: 0, begin: [], parts: [] });
const resultOf = (step: number): ControlMessage => ({ type: 'job', body: { kind: 'result', result: { step } } });

describe('steps of a job', () => {
  it('may stand behind each other: each ends when all ranks answered it, also where one rank is a step ahead', async () => {
    const { job, say } = playedJob(2);
    const ended: number[] = [];
    for (const step of [7, 8]) void job.step([planOf(step), planOf(step)]).then(() => ended.push(step));
    say[0]!(resultOf(7));
    say[0]!(resultOf(8));
    say[1]!(resultOf(7));
    await new Promise(setImmediate);
    expect(ended).to.deep.equal([7]);
    say[1]!(resultOf(8));
    await new Promise(setImmediate);
    expect(ended).to.deep.equal([7, 8]);
    await job.close();
  });

  it('end together with the job, and nobody has to hear of it', async () => {
    const { job } = playedJob(1);
    const first = job.step([planOf(1)]);
    void job.step([planOf(2)]); // would be an unhandled rejection
    await job.close();
    expect((await errorOf(EngineError, () => first)).code).to.equal('CLOSED');
    expect((await errorOf(EngineError, () => job.step([planOf(3)]))).code).to.equal('CLOSED');
  });
});

describe('a job whose sequences go on elsewhere', () => {
  const release = { kind: 'release', lease: 'a' } as const;

  it('tells its members at once, beside steps, and nobody else; what they pulled is told on', async () => {
    const kvDoor = { host: 'here', port: 5 };
    const { job, say, told, come } = playedJob(2, {
      ...{ onPeerLoss: 'mask', numSeats: 3 },
      reports: [
        { ...REPORT, kvDoor: null },
        { ...REPORT, kvDoor },
      ],
    });
    expect([0, 1, 2].map((rank) => job.kvDoorOf(rank))).to.deep.equal([null, kvDoor, null]);
    const pulled: string[] = [];
    job.watchPulls((rank, { pull, payloadBytes }) => void pulled.push(`${rank}: ${payloadBytes} bytes of ${pull}`));
    void job.step([planOf(1), planOf(1)]);
    await come(2); // no member yet
    told.length = 0;
    expect([0, 1, 2, 9].map((rank) => job.handover(rank, release))).to.deep.equal([true, true, false, false]);
    expect(told).to.deep.equal(['0: handover', '1: handover']);
    const report = { kind: 'pulled', pull: 4, payloadBytes: 120, tookMs: 1 } as const;
    for (const rank of [1, 2]) say[rank]!({ type: 'job', body: report });
    expect(pulled).to.deep.equal(['1: 120 bytes of 4']);
    await job.close();
    expect(job.handover(0, release)).to.equal(false);
  });
});

describe('a job whose ranks keep blocks in tiers', () => {
  const drop = { kind: 'drop', tier: 'ram', keys: ['k'] } as const;

  it('tells its members, and tells on what they say of their tiers, what they said before anybody listened too', async () => {
    const { job, say, told, come } = playedJob(2, { onPeerLoss: 'mask', numSeats: 3 });
    const found = { kind: 'store', found: [{ key: 'a', hasState: false }], lost: [] } as const;
    const lifted = { kind: 'lifted', load: 4, numBlocks: 2, payloadBytes: 120, tookMs: 1, lost: ['b'] } as const;
    void job.step([planOf(1), planOf(1)]);
    await come(2); // no member yet
    for (const rank of [1, 2]) say[rank]!({ type: 'job', body: found });
    const heard: string[] = [];
    job.watchStores({
      onLifted: (rank, { load, numBlocks, lost }) => heard.push(`${rank}: ${numBlocks} of ${load}, not ${lost.join()}`),
      onNews: (rank, news) => heard.push(`${rank}: has ${news.found.map(({ key }) => key).join()}`),
    });
    for (const rank of [0, 2]) say[rank]!({ type: 'job', body: lifted });
    expect(heard).to.deep.equal(['1: has a', '0: 2 of 4, not b']);
    told.length = 0;
    expect([0, 1, 2, 9].map((rank) => job.store(rank, drop))).to.deep.equal([true, true, false, false]);
    expect(told).to.deep.equal(['0: store', '1: store']);
    await job.close();
    expect(job.store(0, drop)).to.equal(false);
  });
});

describe('members of a job that change as planned', () => {
  const PLACEMENT = { version: 3, phy2log: [] };
  const entered = (epoch: number): ControlMessage => ({ type: 'job', body: { kind: 'entered', epoch } });

  it('a newcomer is one from the epoch on that is declared when no step runs, and told what is in force', async () => {
    const { job, say, told, come } = playedJob(2, { onPeerLoss: 'mask', numSeats: 4 });
    expect([job.isChanging, job.change(PLACEMENT)]).to.deep.equal([false, false]);
    void job.step([planOf(1), planOf(1), planOf(1), planOf(1)]);
    await come(2);
    expect([job.isChanging, job.change(PLACEMENT)]).to.deep.equal([true, false]);
    for (const rank of [0, 1]) say[rank]!(resultOf(1));
    told.length = 0;
    expect(job.change(PLACEMENT)).to.equal(true);
    expect(told).to.deep.equal(['0: epoch 1 of 0,1,2', '1: epoch 1 of 0,1,2', '2: epoch 1 of 0,1,2 in version 3']);
    expect(job.isChanging).to.equal(false);
    const settled = job.settled();
    for (const rank of [0, 1, 2]) say[rank]!(entered(1));
    const [change, ...more] = await settled;
    expect(more).to.deep.equal([]);
    expect(change).to.deep.include({ epoch: 1, joined: [2], lost: [], left: [], abandonedStep: null });
    expect([...change!.members.present]).to.deep.equal([0, 1, 2]);
    expect(job.reports).to.have.length(3);
    await job.close();
  });

  it('who goes as planned is told to shut down, and what becomes of it means nothing to whoever takes its seat', async () => {
    const { job, say, end, told, come } = playedJob(3, { onPeerLoss: 'mask' });
    const gone = job.retire(1);
    expect(job.change(PLACEMENT)).to.equal(true);
    await gone;
    expect(told).to.deep.equal(['1: leave', '0: epoch 1 of 0,2', '2: epoch 1 of 0,2']);
    for (const rank of [0, 2]) say[rank]!(entered(1));
    await job.settled();
    await come(1);
    job.change(PLACEMENT);
    end[1]!({ rank: 1, pid: 42, code: 0, signal: null });
    for (const rank of [0, 1, 2]) say[rank]!(entered(2));
    const [change] = await job.settled();
    expect(change).to.deep.include({ epoch: 2, joined: [1], lost: [] });
    await job.close();
  });

  it('a loss comes before what was planned, and takes along what was wished for the lost rank', async () => {
    const { job, say } = playedJob(3, { onPeerLoss: 'mask' });
    const leaving = job.setLeaving(1, true);
    const demoted = job.setDemoted(2, true);
    say[1]!({ type: 'failed', error: { code: 'OUT_OF_MEMORY', reason: 'full', advice: 'more', blames: [] } });
    expect(job.change(PLACEMENT)).to.equal(false);
    await leaving; // it is gone
    for (const rank of [0, 2]) say[rank]!(entered(1));
    expect((await job.settled()).map(({ epoch }) => epoch)).to.deep.equal([1]);
    expect(job.change(PLACEMENT)).to.equal(true);
    await demoted;
    expect([...job.members.demoted]).to.deep.equal([2]);
    await job.setDemoted(2, true); // so it is
    await job.close();
  });

  it('who was to go stays where another one is lost first, and is not ended', async () => {
    const { job, end, awaited } = playedJob(3, { onPeerLoss: 'mask' });
    void job.step([planOf(1), planOf(1), planOf(1)]);
    const retired = errorOf(EngineError, () => job.retire(1));
    end[0]!({ rank: 0, pid: 1, code: null, signal: 'SIGKILL' });
    expect((await retired).message).to.equal(
      'RANK_LOST: another rank was lost before rank 1 could go, and it stays; ask again',
    );
    expect([[...job.members.present], awaited]).to.deep.equal([[1, 2], []]);
    await job.close();
  });

  it('the last one does not go', async () => {
    const { job } = playedJob(2, { onPeerLoss: 'mask' });
    const wishes = [job.retire(0), job.retire(1), job.retire(1)];
    expect(job.change(PLACEMENT)).to.equal(true);
    await wishes[0];
    expect([...job.members.present]).to.deep.equal([1]);
    for (const wish of wishes.slice(1)) wish.catch(() => undefined);
    expect(job.isChanging).to.equal(false);
    await job.close();
    expect((await errorOf(EngineError, () => wishes[1]!)).code).to.equal('CLOSED');
  });
});

describe('a job whose losses end it', () => {
  it('names the rank that was killed, not one that gave up because of it, whoever speaks first', async () => {
    for (const isWitnessFirst of [true, false]) {
      const { job, say, end } = playedJob(4);
      const gaveUp = 'rank 3 gave up dispatch of layer 4 because rank 1 failed; look at their logs';
      const error = remoteErrorOf(new CommError('PEER_FAILED', gaveUp, { rank: asRank(1) }));
      const witness = (): void => say[2]!({ type: 'failed', error });
      const killed = (): void => end[1]!({ rank: 1, pid: 42, code: null, signal: 'SIGKILL' });
      for (const happen of isWitnessFirst ? [witness, killed] : [killed, witness]) happen();
      const failure = await job.failed;
      expect(failure.rank).to.equal(1);
      expect(failure.message).to.contain('rank 1 (process 42) was killed by SIGKILL');
    }
  });

  it('names the rank elsewhere that was killed, not one of the same command that ended with it', async () => {
    const { job, say } = playedJob(4, { local: NO_PROCESSES });
    const lost = new CommError('PEER_LOST', 'rank 2 is gone; look at its log', { rank: asRank(2) });
    for (const witness of [0, 1]) say[witness]!({ type: 'failed', error: remoteErrorOf(lost) });
    const ended = { rank: 3, pid: 42, code: null, signal: 'SIGKILL', host: 'there' } as const;
    say[2]!({ type: 'job', body: { kind: 'neighbour_ended', ...ended } });
    const failure = await job.failed;
    expect(failure.rank).to.equal(3);
    expect(failure.message).to.contain('rank 3 (process 42 on there) was killed by SIGKILL');
  });

  it('names a rank that failed by itself, although its error names the rank that its frame was for', async () => {
    const { job, say } = playedJob(3);
    const error = remoteErrorOf(new CommError('LIMIT', 'a frame too large for rank 1', { rank: asRank(1) }));
    say[2]!({ type: 'failed', error });
    const failure = await job.failed;
    expect(failure.rank).to.equal(2);
    expect(failure.message).to.contain('rank 2 failed before the first step: LIMIT: a frame too large for rank 1');
  });

  it('ends with what another rank would fail at alike, also where losses are masked', async () => {
    for (const code of ['PLUGIN_FAILED', 'CODEC_FAILED', 'NOT_FINITE']) {
      const { job, say } = playedJob(3, { onPeerLoss: 'mask' });
      say[1]!({ type: 'failed', error: { code, reason: 'no idea', advice: 'mend it', blames: [] } });
      const failure = await job.failed;
      expect(failure.message).to.equal(`RANK_FAILED: rank 1 failed before the first step: ${code}: no idea; mend it`);
    }
  });

  it('names the plug-ins of the job where a rank computed what is no number, which may come from them', async () => {
    const error = remoteErrorOf(new EngineError('NOT_FINITE', 'the logit of token 3 is NaN; check the checkpoint'));
    for (const [plugins, message] of [
      [[], /check the checkpoint$/],
      [['/a.mjs', '/b.mjs'], /check the checkpoint; or look at what the job's plug-ins give: \/a\.mjs, \/b\.mjs$/],
    ] as const) {
      const { job, say } = playedJob(1, { plugins });
      say[0]!({ type: 'failed', error });
      expect((await job.failed).message).to.match(message);
    }
  });
});
