/** Odd values on the command lines of real processes: each ends soon, with a line that names the option. */
import { expect } from 'chai';
import { moe7m } from '../../../kit/paths.js';
import { Processes } from '../../../kit/processes/processes.js';
import { randomFrom } from '../../../refs/random.js';
import { ODD, withOption, type Line } from '../../../kit/processes/odd_flags.js';

describe('command lines of generate, score and rank with odd values', function () {
  this.timeout(120_000);
  const processes = new Processes();
  afterEach(processes.expectNone);

  const COMMANDS: readonly Line[] = [
    [
      ['generate', '--model', moe7m(), '--prompt-ids', '1,2,3', '--max-new-tokens', '2', '--join-timeout', '5'],
      [
        'ranks',
        'num-redundant-experts',
        'max-new-tokens',
        'temperature',
        'top-k',
        'top-p',
        'min-p',
        'repetition-penalty',
        'presence-penalty',
        'frequency-penalty',
        'min-tokens',
        'logprobs',
        'seed',
        'join-timeout',
        'prompt-ids',
      ],
    ],
    [
      ['score', '--model', moe7m(), '--ids', '1,2,3'],
      ['ids', 'ranks'],
    ],
    [
      ['rank', '--head', '127.0.0.1:1', '--join-timeout', '1'],
      ['rank', 'nproc', 'join-timeout', 'head'],
    ],
  ];

  it('end with one line that names the option', async () => {
    const random = randomFrom(5);
    const env = { EXPERTWIRE_JOB_SECRET: 'a secret of this test' };
    const lines = COMMANDS.flatMap(([args, options]) =>
      options.flatMap((option) => ODD.map((value) => withOption(args, option, value))),
    );
    for (let i = 0; i < 24; i++) {
      const args = lines[Math.floor(random() * lines.length)]!;
      const story = args.join(' ').slice(0, 200);
      const { code, stderr } = await processes.cli(args, { env }).ended;
      expect(code, `${story}: ${stderr}`).to.be.oneOf([0, 1, 2]);
      expect(stderr, story).not.to.match(/\n {4}at |please report|undefined/);
      // eslint-disable-next-line no-control-regex -- a terminal would obey it
      expect(stderr, story).not.to.match(/\u001b/);
      if (code !== 0) expect(stderr.trimEnd().split('\n').at(-1), story).to.match(/^expertwire: /);
    }
  });
});
