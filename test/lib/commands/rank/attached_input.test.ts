import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { attachInput } from '../../../../lib/commands/rank/attached_input.js';
import { errorOf } from '../../../kit/rejects.js';

const never = new AbortController().signal;

describe('standard input that brings the secret of a job', () => {
  it('says it in its first line, and is over when it ends', async () => {
    const stdin = new PassThrough();
    stdin.write('the secret\n');
    const input = await attachInput(stdin, never);
    expect([input.secret, input.ended.aborted]).to.deep.equal(['the secret', false]);
    stdin.end();
    await new Promise((resolve) => input.ended.addEventListener('abort', resolve));
    expect(() => input.ended.throwIfAborted()).to.throw(/^HEAD_LOST: standard input has ended/);
  });

  const WRONG: readonly [string, string, RegExp][] = [
    ['ends before a line', '', /standard input ended before its first line/],
    ['begins with an empty line', '\n', /the first line of standard input is empty/],
    ['begins with a line that is none', `${'x'.repeat(5000)}\n`, /has 5000 characters/],
  ];
  for (const [title, text, message] of WRONG) {
    it(`that ${title} is refused`, async () => {
      const stdin = new PassThrough();
      stdin.end(text);
      const error = await errorOf(UsageError, () => attachInput(stdin, never));
      expect(error.message).to.match(message);
    });
  }

  it('is waited for no longer than the command runs', async () => {
    const ended = new AbortController();
    const waiting = attachInput(new PassThrough(), ended.signal);
    ended.abort(new Error('over'));
    expect((await errorOf(Error, () => waiting)).message).to.equal('over');
  });
});
