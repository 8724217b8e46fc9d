import { expect } from 'chai';
import { CommError } from '../../../comm/errors.js';
import { asRank } from '../../../comm/ids.js';
import { EngineError } from '../../../lib/engine/errors.js';
import { RankSteps } from '../../../lib/engine/rank_steps.js';
import type { RankToHead, StepPlan, StepResult } from '../../../lib/engine/step_plan.js';

const plan = (step: number, epoch = 0): StepPlan => ({ step, epoch, begin: [], parts: [] });
const resultOf = ({ step }: StepPlan): StepResult => ({ step }) as StepResult;
const timeout = new CommError('TIMEOUT', 'rank 2 is silent', { rank: asRank(2), layer: 3, phase: 'combine' });

/** Rank 1; everything that it does and says, in order. `run` replaces running a step. */
class Story {
  readonly lines: string[] = [];
  readonly failed: Promise<unknown>;
  readonly steps: RankSteps;
  private heard: () => void = () => undefined;

  constructor(onPeerLoss: 'fail' | 'mask', run: (plan: StepPlan, signal: AbortSignal) => Promise<StepResult>) {
    let fail: (error: unknown) => void = () => undefined;
    this.failed = new Promise((resolve) => (fail = resolve));
    this.steps = new RankSteps({
      rank: 1,
      onPeerLoss,
      executor: {
        run: (each, signal) => {
          this.lines.push(`run ${each.step}`);
          return run(each, signal!);
        },
        free: (sequences) => this.lines.push(`free ${sequences.join()}`),
        enterEpoch: (epoch, lost) => this.lines.push(`enter ${epoch} without ${lost.join()}`),
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
  return message.kind;
}

/** A step that lasts until it is aborted. */
const untilAborted = (_plan: StepPlan, signal: AbortSignal): Promise<StepResult> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new CommError('ABORTED', 'the caller ended dispatch')));
  });

describe('the steps of a rank', () => {
  it('messages are obeyed in order', async () => {
    const story = new Story('mask', (each) => Promise.resolve(resultOf(each)));
    story.steps.take({ kind: 'step', plan: plan(1) });
    story.steps.take({ kind: 'free', sequences: [4, 5] });
    story.steps.take({ kind: 'step', plan: plan(2) });
    await story.says('result 2');
    expect(story.lines).to.deep.equal(['run 1', 'result 1', 'free 4,5', 'run 2', 'result 2']);
  });

  it("a missed peer leaves the rank waiting with 'mask' and ends it with 'fail'", async () => {
    const masked = new Story('mask', () => Promise.reject(timeout));
    masked.steps.take({ kind: 'step', plan: plan(1, 7) });
    await masked.says('stuck');
    const error = { code: 'TIMEOUT', message: 'TIMEOUT: rank 2 is silent', rank: 2, layer: 3, phase: 'combine' };
    expect(masked.lines.at(-1)).to.equal(`stuck in 7: ${JSON.stringify(error)}`);
    const failing = new Story('fail', () => Promise.reject(timeout));
    failing.steps.take({ kind: 'step', plan: plan(1) });
    expect(await failing.failed).to.equal(timeout);
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

  it('a new epoch ends the step that runs, and those that were queued before it do not begin', async () => {
    const story = new Story('mask', untilAborted);
    story.steps.take({ kind: 'step', plan: plan(1) });
    await Promise.resolve();
    story.steps.take({ kind: 'step', plan: plan(2) });
    story.steps.take({ kind: 'free', sequences: [9] });
    story.steps.take({ kind: 'epoch', epoch: 1, lost: [0] });
    await story.says('entered 1');
    expect(story.lines).to.deep.equal(['run 1', 'free 9', 'enter 1 without 0', 'entered 1']);
  });

  it('an error of its own in a step that is being abandoned is not swallowed', async () => {
    const bug = new Error('a bug');
    const story = new Story('mask', (each, signal) => untilAborted(each, signal).catch(() => Promise.reject(bug)));
    story.steps.take({ kind: 'step', plan: plan(1) });
    await Promise.resolve();
    story.steps.take({ kind: 'epoch', epoch: 1, lost: [0] });
    expect(await story.failed).to.equal(bug);
  });
});
