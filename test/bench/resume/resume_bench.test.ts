import { expect } from 'chai';
import { runBench } from '../../../bench/index.js';
import { lastLength } from '../../../bench/resume/run_resume.js';
import { readTokens } from '../../../bench/resume/token_stream.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';

const deltas = (number: number, from: number, numTokens: number): string =>
  JSON.stringify({
    kind: 'deltas',
    number,
    deltas: [{ choice: 0, from, tokens: Array(numTokens).fill({}), text: '' }],
  });

/** An answer of these events; without an end it breaks off. */
function answerOf(events: readonly (readonly number[])[], isWhole = true): Response {
  const text = events.map((token_ids) => `data: ${JSON.stringify({ choices: [{ token_ids }] })}\n\n`);
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const each of text) controller.enqueue(new TextEncoder().encode(each));
    },
    pull: (controller) => (isWhole ? controller.close() : controller.error(new Error('broken off'))),
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
}

describe('expertwire bench resume', () => {
  it('knows how many tokens were written when the head died, also where its last line is torn', () => {
    const lines = [deltas(0, 7, 1), '{"kind":"request","number":1}', deltas(1, 0, 2), deltas(1, 2, 1), '{"kind":"del'];
    expect(lastLength(lines.join('\n'))).to.equal(3);
  });

  it('tells of tokens while they come, and of an answer that breaks off', async () => {
    const counts: number[] = [];
    const { tokenIds, atMs } = await readTokens(answerOf([[5], [6, 7]]), (count) => counts.push(count));
    expect([tokenIds, counts, atMs.length]).to.deep.equal([[5, 6, 7], [1, 2, 3], 3]);
    const error = await errorOf(Error, () => readTokens(answerOf([[5]], false)));
    expect(error.message).to.equal('broken off');
  });

  it('refuses what it does not measure', async () => {
    const error = await errorOf(UsageError, () => runBench(['resume', '--new-tokens', '1'], commandContext()));
    expect(error.message).to.match(/^--new-tokens/);
  });
});
