import { expect } from 'chai';
import { CommError } from '../../../comm/base/errors.js';
import { asRank } from '../../../base/ids.js';
import { createLocalMeshes } from '../../../comm/mesh/local_mesh.js';
import { lostError } from '../../../comm/mesh/mailbox_errors.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import { RankSteps } from '../../../lib/rank/rank_steps.js';
import type { StoreOrder } from '../../../lib/protocol/kv_store.js';
import type { RankToHead, StepPlan, StepResult } from '../../../lib/protocol/step_plan.js';
import { errorOf } from '../../kit/rejects.js';

const plan = (step: number, epoch = 0): StepPlan => ({ step, epoch, placementVersion: 0, begin: [], parts: [] });
const resultOf = ({ step }: StepPlan): StepResult => ({ step }) as StepResult;
const timeout = new CommError('TIMEOUT', 'rank 2 is silent', { rank: asRank(2), layer: 3, phase: 'combine' });

/** Rank 1, unless told otherwise; everything that it does and says, in order. `run` replaces running a step. */
class Story {
  readonly lines: string[] = [];
  readonly failed: Promise<unknown>;
  readonly steps: RankSteps;
  private heard: () => void = () => undefined;

  constructor(
    onPeerLoss: 'fail' | 'mask' | 'recover',
    run: (plan: StepPlan, signal: AbortSignal) => Promise<StepResult>,
    rank = 1,
  ) {
    let fail: (error: unknown) => void = () => undefined;
    this.failed = new Promise((resolve) => (fail = resolve));
    this.steps = new RankSteps({
      rank,
      onPeerLoss,
      executor: {
        run: (each, signal) => {
          this.lines.push(`run ${each.step}`);
          return run(each, signal!);
        },
        move: ({ kind }) => this.lines.push(kind),
        gather: async (version, signal, tell) => {
          tell({ version, numLeft: 1 });
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
          this.lines.push(`gave up ${version}`);
        },
        free: ({ blocks, sequences }) => this.lines.push(`free ${blocks.join()} of ${sequences.join()}`),
        enterEpoch: ({ epoch, members }) => this.lines.push(`enter ${epoch} with ${members.join()}`),
      },
      store: {
        keep: (blocks) => blocks.length > 0 && this.lines.push(`keep ${blocks.map(({ block }) => block).join()}`),
        obey: ({ kind }) => this.lines.push(kind),
      },
      tell: (message) => {
        this.lines.push(lineOf(message));
        this.heard();
      },
      onFailed: fail,
    });
  }

  /** Waits until the rank says something that begins so. */
  async says(start: string): Promise<void> {
    while (!this.lines.some((line) => line.startsWith(start))) {
      await new Promise<void>((resolve) => (this.heard = resolve));
    }
  }
}

function lineOf(message: RankToHead): string {
  if (message.kind === 'result') return `result ${message.result.step}`;
  if (message.kind === 'entered') return `entered ${message.epoch}`;
  if (message.kind === 'stuck') return `stuck in ${message.epoch}: ${JSON.stringify(message.error)}`;
  if (message.kind === 'gathered') return `lacks ${message.numLeft} of ${message.version}`;
  return message.kind;
}

/** A step that lasts until it is aborted. */
const untilAborted = (_plan: StepPlan, signal: AbortSignal): Promise<StepResult> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new CommError('ABORTED', 'the caller ended dispatch')));
  });

describe('the steps of a rank', () => {
  it('blocks are kept before they are forgotten; orders about tiers wait for no step, but for what was to be freed before them', async () => {
    let end = (): void => undefined;
    const story = new Story('mask', (each) => new Promise((resolve) => (end = () => resolve(resultOf(each)))));
    const keep = (block: number): void =>
      story.steps.take({ kind: 'free', blocks: [block], sequences: [7], keep: [{ block, key: 'k' }] });
    const order = (kind: 'load' | 'cancel_load' | 'demote'): void => {
      const load = { kind, load: 1, keys: [], order: { load: 1, blocks: [] } };
      story.steps.take({ kind: 'store', order: load as unknown as StoreOrder });
    };
    story.steps.take({ kind: 'step', plan: plan(1) });
    order('demote');
    await new Promise(setImmediate); // it begins
    keep(3);
    order('load');
    order('cancel_load');
    keep(4);
    order('demote');
    expect(story.lines).to.deep.equal(['demote', 'run 1']);
    end();
    await story.steps.freed;
    order('load');
    const behind = ['keep 3', 'free 3 of 7', 'load', 'cancel_load', 'keep 4', 'free 4 of 7', 'demote', 'load'];
    expect(story.lines).to.deep.equal(['demote', 'run 1', 'result 1', ...behind]);
  });

  it('messages are obeyed in order', async () => {
    const story = new Story('mask', (each) => Promise.resolve(resultOf(each)));
    story.steps.take({ kind: 'step', plan: plan(1) });
    story.steps.take({ kind: 'free', blocks: [8, 9], sequences: [4, 5] });
    story.steps.take({ kind: 'step', plan: plan(2) });
    await story.says('result 2');
    expect(story.lines).to.deep.equal(['run 1', 'result 1', 'free 8,9 of 4,5', 'run 2', 'result 2']);
  });

  it('what was to be forgotten so far is, behind the steps before it and whatever comes after it', async () => {
    const ended: (() => void)[] = [];
    const story = new Story('mask', (each) => new Promise((resolve) => ended.push(() => resolve(resultOf(each)))));
    const whenFreed = (what: string): void => void story.steps.freed.then(() => story.lines.push(what));
    whenFreed('nothing');
    story.steps.take({ kind: 'step', plan: plan(1) });
    whenFreed('nothing yet');
    story.steps.take({ kind: 'free', blocks: [8], sequences: [] });
    story.steps.take({ kind: 'step', plan: plan(2) });
    whenFreed('all');
    await new Promise(setImmediate);
    expect(story.lines.toSorted()).to.deep.equal(['nothing', 'nothing yet', 'run 1']);
    ended.shift()!();
    await new Promise(setImmediate);
    expect(story.lines.slice(3)).to.deep.equal(['result 1', 'free 8 of ', 'run 2', 'all']);
  });

  it("a missed peer leaves the rank waiting with 'mask' and ends it with 'fail'", async () => {
    const masked = new Story('mask', () => Promise.reject(timeout));
    masked.steps.take({ kind: 'step', plan: plan(1, 7) });
    await masked.says('stuck');
    const told = { code: 'TIMEOUT', reason: 'rank 2 is silent', advice: '', blames: [2] };
    const error = { ...told, rank: 2, layer: 3, phase: 'combine' };
    expect(masked.lines.at(-1)).to.equal(`stuck in 7: ${JSON.stringify(error)}`);
    const failing = new Story('fail', () => Promise.reject(timeout));
    failing.steps.take({ kind: 'step', plan: plan(1) });
    expect(await failing.failed).to.equal(timeout);
  });

  it('what is queued behind a step that failed is not run, until the head declares an epoch', async () => {
    const story = new Story('mask', ({ step }) =>
      step === 1 ? Promise.reject(timeout) : Promise.resolve(resultOf(plan(step))),
    );
    for (const step of [1, 2]) story.steps.take({ kind: 'step', plan: plan(step) });
    await story.says('stuck');
    story.steps.take({ kind: 'free', blocks: [3], sequences: [9] });
    story.steps.take({ kind: 'epoch', epoch: 1, members: [0, 1] });
    story.steps.take({ kind: 'step', plan: plan(3, 1) });
    await story.says('result 3');
    const [run, stuck, ...rest] = story.lines;
    expect([run, stuck!.slice(0, 10)]).to.deep.equal(['run 1', 'stuck in 0']);
    expect(rest).to.deep.equal(['free 3 of 9', 'enter 1 with 0,1', 'entered 1', 'run 3', 'result 3']);
  });

  it('an error of its own ends the rank either way', async () => {
    const errors = [
      new EngineError('NOT_FINITE', 'NaN'),
      new CommError('LIMIT', 'a frame too large for rank 2', { rank: asRank(2) }),
      new CommError('CLOSED', 'the mesh was closed'),
    ];
    for (const error of errors) {
      const story = new Story('mask', () => Promise.reject(error));
      story.steps.take({ kind: 'step', plan: plan(1) });
      expect(await story.failed).to.equal(error);
    }
  });

  it('a limit that a peer broke is about the peer; one that the own frames would break ends this rank', async () => {
    const [own, peer] = createLocalMeshes(2, { maxFrameBytes: 100 });
    const tag = { step: 1, layer: 3, microBatch: 0, epoch: 0 };
    const key = { ...tag, phase: 'dispatch' } as const;
    const body = { hidden: 1, numTopk: 1, numRows: 1, dtype: 'f32', flags: 0 } as const;
    const payload = new Uint8Array(100);
    const header = { ...key, ...body, source: asRank(0), destination: asRank(1), payloadBytes: payload.byteLength };
    const tooLarge = await errorOf(CommError, () => own!.send(asRank(1), header, [payload]));
    const cut = lostError(asRank(1), key, { code: 'LIMIT', why: 'rank 1 announced a frame of 140 bytes, 100 allowed' });
    await Promise.all([own!.close(), peer!.close()]);
    for (const error of [tooLarge, cut]) expect(error).to.include({ code: 'LIMIT', rank: 1 });
    const storyOf = (error: CommError): Story => new Story('mask', () => Promise.reject(error), 0);
    const accusing = storyOf(cut);
    accusing.steps.take({ kind: 'step', plan: plan(1) });
    await accusing.says('stuck in 0: {"code":"LIMIT"');
    const failing = storyOf(tooLarge);
    failing.steps.take({ kind: 'step', plan: plan(1) });
    expect(await failing.failed).to.equal(tooLarge);
  });

  it('a new epoch ends the step that runs, and those that were queued before it do not begin', async () => {
    const story = new Story('mask', untilAborted);
    story.steps.take({ kind: 'step', plan: plan(1) });
    await Promise.resolve();
    story.steps.take({ kind: 'step', plan: plan(2) });
    story.steps.take({ kind: 'free', blocks: [3], sequences: [9] });
    story.steps.take({ kind: 'epoch', epoch: 1, members: [1, 2] });
    await story.says('entered 1');
    expect(story.lines).to.deep.equal(['run 1', 'free 3 of 9', 'enter 1 with 1,2', 'entered 1']);
  });

  it('a new epoch ends the wait for experts that are taken over, which another that was queued does not begin', async () => {
    const story = new Story('recover', untilAborted);
    story.steps.take({ kind: 'gather', version: 1 });
    story.steps.take({ kind: 'gather', version: 2 });
    await story.says('lacks');
    story.steps.take({ kind: 'epoch', epoch: 1, members: [1] });
    await story.says('entered');
    expect(story.lines).to.deep.equal(['lacks 1 of 1', 'gave up 1', 'enter 1 with 1', 'entered 1']);
  });

  it('an error of its own in a step that is being abandoned is not swallowed', async () => {
    const bug = new Error('a bug');
    const story = new Story('mask', (each, signal) => untilAborted(each, signal).catch(() => Promise.reject(bug)));
    story.steps.take({ kind: 'step', plan: plan(1) });
    await Promise.resolve();
    story.steps.take({ kind: 'epoch', epoch: 1, members: [1, 2] });
    expect(await story.failed).to.equal(bug);
  });
});
