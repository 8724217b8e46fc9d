import { expect } from 'chai';
import { UsageError } from '../../../lib/commands/base/context.js';
import { ChatError } from '../../../lib/commands/chat/answers/errors.js';
import { runCommand } from '../../../lib/commands/parser.js';
import { scale, type ScaleArgs } from '../../../lib/commands/scale.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';
import { withPlayedServer, type Part } from '../../kit/serve/played_server.js';

const ANSWER = {
  message: 'Scaled to 4 data parallel engines',
  ...{ ranks_before: 2, ranks: 4, joined: [2, 3], left: [], moved_experts: 48, moved_sequences: 0, recomputed: 0 },
  ...{ ms: 1812, first_ms: 640 },
};
const answered = (answer: unknown): Part => ({ kind: 'raw', type: 'application/json', text: JSON.stringify(answer) });

/** What the command prints of an answer, and what it asked. */
async function scaled(part: Part, args: Partial<ScaleArgs> = {}, env: Record<string, string> = {}) {
  return withPlayedServer(
    () => part,
    async ({ url, asked }) => {
      const context = { ...commandContext(), env };
      await scale({ ranks: 4, url, ...args }, context);
      return { printed: context.printed(), asked };
    },
  );
}

describe('the command scale', () => {
  it('asks a server under vLLM’s name, beside the version, with the key', async () => {
    const { asked } = await scaled(answered(ANSWER), { timeout: 7 }, { EXPERTWIRE_API_KEY: 'one,two' });
    expect(asked).to.deep.equal([
      {
        path: '/scale_elastic_ep',
        authorization: 'Bearer one',
        body: { new_data_parallel_size: 4, drain_timeout: 7 },
      },
    ]);
  });

  for (const [what, answer, printed] of [
    [
      'ranks that joined',
      ANSWER,
      '2 → 4 ranks · joined: 2, 3 · moved: 48 experts, 0 sequences · new size after 0.64 s · all in place after 1.81 s',
    ],
    [
      'ranks that left',
      { ...ANSWER, ranks_before: 4, ranks: 2, joined: [], left: [3, 2], moved_sequences: 5, recomputed: 1 },
      '4 → 2 ranks · left: 3, 2 · moved: 48 experts, 5 sequences · computed anew: 1 sequences · new size after 0.64 s · all in place after 1.81 s',
    ],
    [
      'that one rank is left',
      { ...ANSWER, ranks: 1, joined: [], left: [1], first_ms: null },
      '2 → 1 rank · left: 1 · moved: 48 experts, 0 sequences · all in place after 1.81 s',
    ],
    ['no change', { ...ANSWER, ranks_before: 4, joined: [] }, '4 ranks, as before'],
    ['the word of another server', { message: 'Scaled to 4 data parallel engines' }, ANSWER.message],
  ] as const) {
    it(`tells ${what} in a line`, async () => {
      expect((await scaled(answered(answer))).printed).to.equal(`${printed}\n`);
    });
  }

  it('prints what the server says with --json', async () => {
    expect(JSON.parse((await scaled(answered(ANSWER), { json: true })).printed)).to.deep.equal(ANSWER);
  });

  it('tells why a server refuses', async () => {
    const refusal = { kind: 'status', status: 409, message: 'the job is being scaled already' } as const;
    const error = await errorOf(ChatError, () => scaled(refusal));
    expect(error.code).to.equal('SERVER_REFUSED');
    expect(error.message).to.contain('409: the job is being scaled already');
  });

  it('tells where a key can be given', async () => {
    const error = await errorOf(ChatError, () => scaled({ kind: 'status', status: 401, message: 'no key' }));
    expect(error.message).to.contain('set EXPERTWIRE_API_KEY, or give --api-key-file');
  });

  it('says what a word that is no number stands for', async () => {
    const error = await errorOf(UsageError, () => runCommand(['scale', 'x'], commandContext()));
    expect(error.message).to.contain('the number of ranks is not a whole number from 1 to');
  });

  it('refuses a time that no server takes before it asks', async () => {
    const error = await errorOf(UsageError, () => scale({ ranks: 2, timeout: 86_401 }, commandContext()));
    expect(error.message).to.contain('--timeout is not a whole number from 1 to 86400');
  });

  for (const ranks of [0, 1.5, NaN, 1e9]) {
    it(`refuses ${ranks} ranks before it asks`, async () => {
      await errorOf(UsageError, () => scale({ ranks }, commandContext()));
    });
  }
});
