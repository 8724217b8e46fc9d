import { expect } from 'chai';
import { asRank } from '../../../base/ids.js';
import { CommError, remoteErrorOf, type RemoteError } from '../../../comm/base/errors.js';
import type { ControlLink, LinkClosed, MessageHandler } from '../../../comm/job/control_link.js';
import type { JoinedRank } from '../../../comm/job/join.js';
import type { ControlMessage } from '../../../comm/job/messages.js';
import { createLocalMeshes } from '../../../comm/mesh/local_mesh.js';
import type { RankJob } from '../../../lib/protocol/rank_job.js';
import type { ReturningRank } from '../../../lib/protocol/standing.js';
import type { EndedNeighbour, HeadToRank, LoadReport, RankToHead, StepPlan } from '../../../lib/protocol/step_plan.js';
import type { HandoverOrder } from '../../../lib/protocol/handover.js';
import type { StoreOrder } from '../../../lib/protocol/kv_store.js';
import type { RankStore } from '../../../lib/rank/store/rank_store.js';
import type { Handover } from '../../../lib/rank/handover/handover.js';
import type { RankExecutor } from '../../../lib/rank/rank_executor.js';
import { serveHead, type RankOutcome, type StopHandler, type StopTeller } from '../../../lib/rank/rank_service.js';

/** A head's end of a link, and what the rank said over it. */
class PlayedHead {
  readonly heard: RankToHead[] = [];
  /** Resolves with what the rank failed with, as it tells it. */
  readonly failure: Promise<RemoteError>;
  readonly link: ControlLink;
  private handler: MessageHandler | undefined;
  private die!: (why: LinkClosed) => void;

  constructor() {
    const closed = new Promise<LinkClosed>((resolve) => (this.die = resolve));
    let fail!: (error: RemoteError) => void;
    this.failure = new Promise((resolve) => (fail = resolve));
    const link = {
      isOpen: true,
      closed,
      onMessage: (handler: MessageHandler | undefined) => (this.handler = handler),
      send: (message: ControlMessage) => {
        if (message.type === 'job') this.heard.push(message.body as RankToHead);
        if (message.type === 'failed') fail(message.error);
      },
    };
    void closed.then(() => (link.isOpen = false));
    this.link = link as unknown as ControlLink;
  }

  say(body: HeadToRank): void {
    void this.handler?.({ type: 'job', body });
  }

  /** The job ends with this. */
  endsWith(error: CommError): void {
    void this.handler?.({ type: 'failed', error: remoteErrorOf(error) });
  }

  /** Its process is gone. */
  async killed(): Promise<void> {
    this.die({ kind: 'lost', why: 'killed' });
    await this.link.closed;
  }
}

/** A rank, and the heads that come one after the other. */
class Scene {
  readonly first = new PlayedHead();
  readonly forgotten: number[] = [];
  readonly handedOver: string[] = [];
  /** What the rank said to the last head that it found. */
  said: ReturningRank | undefined;
  readonly outcome: Promise<RankOutcome>;
  private terminate!: StopHandler;
  readonly stored: string[] = [];
  /** The command that started this rank saw another one end. */
  neighbourEnded!: (ended: EndedNeighbour) => void;
  private welcome!: (head: PlayedHead | CommError) => void;
  private readonly coming = new Promise<PlayedHead | CommError>((resolve) => (this.welcome = resolve));

  constructor({ isNewcomer = false, ...job }: Partial<RankJob> & { readonly isNewcomer?: boolean } = {}) {
    const own = { onPeerLoss: 'recover', headGraceMs: 60_000, numKvBlocks: 3, digest: 'd', timeoutMs: 100, ...job };
    const joined = {
      ...{ rank: asRank(0), job: own, link: this.first.link, isNewcomer },
      comeBack: async (said: ReturningRank) => {
        this.said = said;
        const head = await this.coming;
        if (head instanceof CommError) throw head;
        joined.link = head.link;
      },
    };
    const executor = {
      enterEpoch: () => undefined,
      run: () => Promise.reject(new CommError('PEER_LOST', 'rank 2 is gone; look at its log', { rank: asRank(2) })),
      forget: (blocks: readonly number[]) => this.forgotten.push(...blocks),
      standing: { epoch: 4, members: [0, 1], version: 2, slots: [] },
    };
    const handover = {
      obey: ({ kind }: HandoverOrder) => this.handedOver.push(kind),
      reset: () => this.handedOver.push('reset'),
    };
    const store = {
      begin: () => this.stored.push('begin'),
      obey: ({ kind }: StoreOrder) => this.stored.push(kind),
      reset: () => this.stored.push('reset'),
    };
    const parts = {
      ...{ joined: joined as unknown as JoinedRank, executor: executor as unknown as RankExecutor },
      ...{
        mesh: createLocalMeshes(1)[0]!,
        handover: handover as unknown as Handover,
        store: store as unknown as RankStore,
        crew: null,
        report: { pid: 1 } as LoadReport,
      },
    };
    const takeTermination = (handler: StopHandler): void => void (this.terminate = handler);
    const takeNeighbourEnd = (tell: Scene['neighbourEnded']): void => void (this.neighbourEnded = tell);
    const { signal } = new AbortController();
    this.outcome = serveHead(parts, { signal, takeTermination, takeNeighbourEnd });
  }

  /** Whether SIGTERM lets it live for now, or its parent's word. */
  sigterm(teller: StopTeller = 'signal'): boolean {
    return this.terminate(teller);
  }

  /** Another head is where the first one was. */
  async comes(): Promise<PlayedHead> {
    const head = new PlayedHead();
    this.welcome(head);
    await new Promise(setImmediate);
    return head;
  }

  refuse(error: CommError): void {
    this.welcome(error);
  }
}

describe('a rank and the heads that it serves', () => {
  it('outlives one that dies, forgets the KV cache, and tells the next one what it holds', async () => {
    const scene = new Scene();
    await scene.first.killed();
    const next = await scene.comes();
    expect(scene.said).to.deep.equal({
      ...{ digest: 'd', report: { pid: 1 }, epoch: 4, members: [0, 1], version: 2, slots: [] },
    });
    expect(scene.forgotten).to.deep.equal([0, 1, 2]);
    next.say({ kind: 'leave' });
    expect(await scene.outcome).to.deep.equal({ kind: 'left' });
  });

  it('tells its head of another rank of its command that ended, as long as it has a head', async () => {
    const scene = new Scene();
    const ended = { rank: 3, pid: 42, code: null, signal: 'SIGKILL', host: 'here' } as const;
    scene.neighbourEnded(ended);
    expect(scene.first.heard).to.deep.equal([{ kind: 'neighbour_ended', ...ended }]);
    await scene.first.killed();
    scene.neighbourEnded(ended);
    const next = await scene.comes();
    expect([...scene.first.heard.slice(1), ...next.heard]).to.deep.equal([]);
    next.say({ kind: 'leave' });
    await scene.outcome;
  });

  it('that lost a peer tells its head at once, where losses end the job, and ends with what that one says came first', async () => {
    const { first, outcome } = new Scene({ onPeerLoss: 'fail', headGraceMs: 0 });
    first.say({ kind: 'step', plan: {} as StepPlan });
    expect((await first.failure).blames).to.deep.equal([2]);
    first.endsWith(new CommError('PEER_LOST', 'rank 3 was killed; look at its log'));
    const end = await outcome;
    expect(end.kind === 'failed' && String(end.error)).to.contain('rank 3 was killed');
  });

  it('that lost a peer ends with that where its head says nothing', async () => {
    const { first, outcome } = new Scene({ onPeerLoss: 'fail', headGraceMs: 0 });
    first.say({ kind: 'step', plan: {} as StepPlan });
    const end = await outcome;
    expect(end.kind === 'failed' && String(end.error)).to.contain('rank 2 is gone');
  });

  it('hands sequences over as it is told, and no more once its head is gone', async () => {
    const scene = new Scene();
    scene.first.say({ kind: 'handover', order: { kind: 'release', lease: 'a' } });
    await scene.first.killed();
    (await scene.comes()).say({ kind: 'handover', order: { kind: 'cancel_pull', pull: 1 } });
    expect(scene.handedOver).to.deep.equal(['release', 'reset', 'cancel_pull']);
  });

  it('tells of its tiers those whose member it is, and begins anew with what is on disk for the next', async () => {
    const scene = new Scene({ isNewcomer: true });
    expect(scene.stored).to.deep.equal([]);
    scene.first.say({ kind: 'epoch', epoch: 1, members: [0, 1] });
    scene.first.say({ kind: 'epoch', epoch: 2, members: [0] });
    scene.first.say({ kind: 'store', order: { kind: 'cancel_load', load: 1 } });
    await scene.first.killed();
    (await scene.comes()).say({ kind: 'store', order: { kind: 'drop', tier: 'disk', keys: [] } });
    expect(scene.stored).to.deep.equal(['begin', 'cancel_load', 'reset', 'reset', 'begin', 'drop']);
  });

  it('ends with one that said that none comes after it', async () => {
    const scene = new Scene();
    scene.first.say({ kind: 'end_grace' });
    await scene.first.killed();
    expect(await scene.outcome)
      .to.include({ kind: 'failed' })
      .and.nested.include({ 'error.code': 'HEAD_LOST' });
    expect(scene.said).to.equal(undefined);
  });

  it('ends with one that did not make it a member, and outlives one that did', async () => {
    const spare = new Scene({ isNewcomer: true });
    await spare.first.killed();
    expect(await spare.outcome).to.nested.include({ 'error.code': 'HEAD_LOST' });
    const member = new Scene({ isNewcomer: true });
    member.first.say({ kind: 'epoch', epoch: 1, members: [0, 1] });
    await member.first.killed();
    (await member.comes()).say({ kind: 'leave' });
    expect(await member.outcome).to.deep.equal({ kind: 'left' });
  });

  it('ends where the next one refuses it, by the words of that one', async () => {
    const scene = new Scene();
    await scene.first.killed();
    const error = new CommError('INVALID_ARGUMENT', 'another job');
    scene.refuse(error);
    expect(await scene.outcome).to.deep.equal({ kind: 'failed', error, isHeadTold: false });
  });

  it('asks to leave when it is told to stop, the next head again where the first one died over it, and ends when told twice', async () => {
    const scene = new Scene();
    expect(scene.sigterm()).to.equal(true);
    while (scene.first.heard.length === 0) await new Promise(setImmediate);
    expect(scene.first.heard).to.deep.equal([{ kind: 'leave' }]);
    await scene.first.killed();
    const next = await scene.comes();
    expect(next.heard).to.deep.equal([{ kind: 'leave' }]);
    expect(scene.sigterm()).to.equal(false);
    next.say({ kind: 'leave' });
    await scene.outcome;
  });

  for (const first of ['signal', 'parent'] as const) {
    it(`takes a signal and its parent's word for one, asks once, and ends at the second signal (first: ${first})`, async () => {
      const scene = new Scene();
      const second = first === 'signal' ? 'parent' : 'signal';
      const told: StopTeller[] = [first, second, 'parent'];
      expect(told.map((teller) => scene.sigterm(teller))).to.deep.equal([true, true, true]);
      expect(scene.first.heard).to.deep.equal([{ kind: 'leave' }]);
      expect(scene.sigterm('signal')).to.equal(false);
      scene.first.say({ kind: 'leave' });
      await scene.outcome;
    });
  }

  it("doesn't ask a head that ends at the same signal", async () => {
    const scene = new Scene();
    expect(scene.sigterm()).to.equal(true);
    scene.first.say({ kind: 'end_grace' });
    expect(scene.sigterm('parent')).to.equal(true);
    expect(scene.first.heard).to.deep.equal([]);
    await scene.first.killed();
    await scene.outcome;
  });

  it('ends when it is told to stop while there is no head', async () => {
    const scene = new Scene();
    await scene.first.killed();
    expect(scene.sigterm()).to.equal(false);
    scene.refuse(new CommError('ABORTED', 'the test is over'));
    await scene.outcome;
  });
});
