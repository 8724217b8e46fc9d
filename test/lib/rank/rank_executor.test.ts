import { expect } from 'chai';
import { InternalError } from '../../../base/coded_error.js';
import type { PlanPart, SequenceOutput, SequenceStart } from '../../../lib/protocol/step_plan.js';
import { GREEDY } from '../../../lib/protocol/sampling.js';
import { outputPart, promptPart, startLocalJob, startOf, type LocalJob } from '../../kit/engine/local_job.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const PROMPT = [5, 17, 3, 40, 8, 21, 9, 33, 2];

describe('the blocks of a rank', () => {
  let job: LocalJob;
  let step = 0;

  beforeEach(async () => (job = await startLocalJob(tinyModel('tiny-deepseek-v3'), { blockSize: 4, mla: 'auto' })));
  afterEach(() => job.close());

  const run = async (parts: readonly PlanPart[], begin: readonly SequenceStart[] = []): Promise<SequenceOutput[]> => {
    const plan = { step: ++step, epoch: 0, placementVersion: 0, begin, parts };
    return [...(await job.executors[0]!.run(plan)).outputs];
  };
  const prompt = (sequence: number, blocks: readonly number[], start = 0, end = PROMPT.length): PlanPart => ({
    ...promptPart(sequence, PROMPT.slice(start, end), start, end === PROMPT.length),
    blocks,
  });
  const output = (sequence: number, tokenId: number, position: number, blocks: readonly number[] = []): PlanPart => ({
    ...outputPart(sequence, tokenId, position),
    blocks,
  });
  const held = (): number => job.executors[0]!.stats().numKvBlocks;

  it('are appended part by part, and what was computed stands behind them whichever they are', async () => {
    const [whole] = await run([prompt(0, [0, 1, 2])], [startOf(0)]);
    await run([prompt(1, [9, 4], 0, 6)], [startOf(1)]);
    const [rest] = await run([prompt(1, [7], 6)]);
    expect(rest!.tokenId).to.equal(whole!.tokenId);
    const parts = [output(0, whole!.tokenId!, 9), output(1, whole!.tokenId!, 9)];
    const [first, second] = await run(parts);
    expect(second!.logits).to.deep.equal(first!.logits);
    expect(held()).to.equal(6);
  });

  it('of a part that is sent again replace those that it was sent with before', async () => {
    const [whole] = await run([prompt(0, [0, 1, 2])], [startOf(0)]);
    await run([prompt(1, [10, 11], 0, 6)], [startOf(1)]);
    // Nobody was told that this step succeeded: the head takes its block back, and sends another with fewer tokens.
    await run([prompt(1, [12], 6)]);
    job.executors[0]!.free({ blocks: [12], sequences: [] });
    await run([prompt(1, [], 6, 8)]);
    const [last] = await run([prompt(1, [13], 8)]);
    expect(last!.tokenId).to.equal(whole!.tokenId);
    job.executors[0]!.free({ blocks: [0, 1, 2, 10, 11, 13], sequences: [0, 1] });
    expect(held(), 'in no other block').to.equal(0);
  });

  it('that another sequence filled are read, and the tokens in them count for what is sampled', async () => {
    const sampling = { ...GREEDY, repetitionPenalty: 5 };
    const [whole] = await run([prompt(0, [0, 1, 2])], [startOf(0, sampling)]);
    const start = { ...startOf(1, sampling), blocks: [0, 1], tokenIds: PROMPT.slice(0, 8) };
    const [shared] = await run([prompt(1, [3], 8)], [start]);
    expect(shared!.tokenId).to.equal(whole!.tokenId);
    expect(held()).to.equal(4);
  });

  it('a sequence that begins again starts from nothing', async () => {
    const [whole] = await run([prompt(0, [0, 1, 2])], [startOf(0)]);
    const [again] = await run([prompt(0, [5, 6, 7])], [startOf(0)]);
    expect(again!.logits).to.deep.equal(whole!.logits);
  });

  it('are forgotten when the head says so, and a sequence when it is over', async () => {
    await run([prompt(0, [0, 1, 2])], [startOf(0)]);
    job.executors[0]!.free({ blocks: [1, 2], sequences: [] });
    expect(held()).to.equal(1);
    job.executors[0]!.free({ blocks: [0], sequences: [0] });
    expect(held()).to.equal(0);
    const error = await errorOf(InternalError, () => run([output(0, 1, 9)]));
    expect(error.message).to.include('sequence 0 is unknown here');
  });

  it('a step whose logits have no room at once takes them in rounds, and says the same', async () => {
    const small = await startLocalJob(tinyModel('tiny-deepseek-v3'), {
      blockSize: 4,
      mla: 'auto',
      maxLogitBytes: 2 * 4 * 96,
    });
    const begin = [startOf(0), startOf(1)];
    const parts = [prompt(0, [0, 1, 2]), prompt(1, [3, 4, 5], 0, 8)];
    const plan = { step: 1, epoch: 0, placementVersion: 0, begin, parts };
    const { outputs } = await small.executors[0]!.run(plan).finally(() => small.close());
    expect(outputs).to.deep.equal(await run(parts, begin));
    expect(outputs[0]!.promptLogprobs!.ranks).to.have.length(PROMPT.length - 1);
  });

  it('that are missing are an error, not another sequence’s memory', async () => {
    await run([prompt(0, [0, 1], 0, 8)], [startOf(0)]);
    const error = await errorOf(InternalError, () => run([prompt(0, [], 8)]));
    expect(error.message).to.include('block 2 of a sequence with 2 blocks');
  });
});
