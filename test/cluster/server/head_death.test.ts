/** A head that is killed, and the next one that takes its ranks over: real processes, real clients. */
import { expect } from 'chai';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { expectFailure } from '../../kit/processes/command_line.js';
import { kill, Processes, type Running } from '../../kit/processes/processes.js';
import { freePort } from '../../kit/processes/ports.js';
import { ranksFrom, SECRET } from '../../kit/processes/ranks_elsewhere.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const ASKED = { prompt: 'Call me', max_tokens: 120, ignore_eos: true, temperature: 0.9, seed: 7 };

interface Answer {
  readonly choices: readonly {
    readonly text: string;
    readonly finish_reason: string;
    readonly degraded_tokens?: number;
  }[];
}

describe('a head that is killed', function () {
  this.timeout(90_000);
  const processes = new Processes();
  afterEach(processes.expectNone);

  class Site {
    constructor(
      private readonly dir: string,
      private readonly graceMs: number,
      /** Where a third rank, which no head starts, finds each of them. Default: all three are started here. */
      private readonly port?: number,
    ) {}

    serve(more: readonly string[] = []): Running {
      const set = [
        ...['comm.on_peer_loss=recover', 'comm.reduce=source', `parallel.head_grace_ms=${this.graceMs}`],
        `server.journal=${join(this.dir, 'requests.jsonl')}`,
      ];
      const args = [
        'serve',
        '--model',
        DEMO_MODEL,
        '--port',
        '0',
        ...(this.port === undefined ? ['--ranks', '3'] : ['--ranks', '2', '--wait-ranks', '1']),
        ...(this.port === undefined ? [] : ['--listen', `127.0.0.1:${this.port}`]),
        ...set.flatMap((key) => ['--set', key]),
      ];
      const secret = this.port !== undefined && { EXPERTWIRE_JOB_SECRET: SECRET };
      return processes.cli([...args, ...more], { env: { HOME: this.dir, ...secret } });
    }
  }

  const urlOf = async (served: Running): Promise<string> => {
    await served.prints(/^curl .*\n/m);
    return /^serving "\S+" at (\S+)\n/.exec(served.stdout)![1]!;
  };

  const complete = (url: string, body: object): Promise<Response> =>
    fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  const again = async (url: string): Promise<Answer> =>
    (await fetch(`${url}/v1/requests/mine`)).json() as Promise<Answer>;

  /** Reads a stream until there are some tokens of it; it ends with its head. */
  async function begun(url: string): Promise<{ readonly ended: Promise<unknown> }> {
    const { body } = await complete(url, { ...ASKED, stream: true, request_id: 'mine' });
    const reader = body!.getReader();
    for (let i = 0; i < 8; i++) await reader.read();
    const rest = async (): Promise<void> => {
      while (!(await reader.read()).done) continue;
    };
    return { ended: rest().catch((error: unknown) => error) };
  }

  const rankPids = (): number[] =>
    processes
      .running()
      .filter(({ argv }) => argv.includes('--spawned'))
      .map(({ pid }) => pid)
      .sort((a, b) => a - b);

  it('is followed by one that goes on with the same ranks, and each request has the tokens that it would have had', async () => {
    await withTempFolder(async (dir) => {
      const site = new Site(dir, 60_000);
      const first = site.serve();
      const url = await urlOf(first);
      const undisturbed = (await (await complete(url, ASKED)).json()) as Answer;
      const [file] = await readdir(join(dir, '.cache/expertwire/jobs'));
      expect((await stat(join(dir, '.cache/expertwire/jobs', file!))).mode & 0o777).to.equal(0o600);
      const pids = rankPids();
      const cut = await begun(url);
      first.signal('SIGKILL');
      expect(await cut.ended).to.be.instanceOf(Error);
      expect(rankPids()).to.deep.equal(pids);
      const next = site.serve(['--resume']);
      const { choices } = await again(await urlOf(next));
      expect(choices).to.deep.equal(undisturbed.choices);
      expect(rankPids()).to.deep.equal(pids);
      next.signal('SIGTERM');
      expect((await next.ended).code).to.equal(0);
      await processes.allGone();
      expect(await readdir(join(dir, '.cache/expertwire/jobs'))).to.deep.equal([]);
    });
  });

  it('together with a rank loses nothing either, one of several machines too; its successors may die too, and ranks whose grace is over leave nothing', async () => {
    await withTempFolder(async (dir) => {
      const port = await freePort();
      const site = new Site(dir, 4000, port);
      const first = site.serve();
      ranksFrom(processes, port, [2], [], { HOME: dir });
      const url = await urlOf(first);
      const undisturbed = (await (await complete(url, ASKED)).json()) as Answer;
      const cut = await begun(url);
      const { pid } = processes.rank(1);
      first.signal('SIGKILL');
      kill(pid, 'SIGKILL');
      await cut.ended;
      const second = site.serve(['--resume']);
      await urlOf(second);
      second.signal('SIGKILL');
      await second.ended;
      const third = site.serve(['--resume']);
      const { choices } = await again(await urlOf(third));
      expect(choices).to.deep.equal(undisturbed.choices);
      third.signal('SIGKILL');
      await third.ended;
      await processes.allGone();
      const late = await site.serve(['--resume']).ended;
      expectFailure(late, 1, /RANK_LOST: no rank came back to port \d+ within \d+ ms; .*start without --resume/);
    });
  });

  it('is not followed by one of another configuration', async () => {
    await withTempFolder(async (dir) => {
      const site = new Site(dir, 20_000);
      const first = site.serve();
      await urlOf(first);
      first.signal('SIGKILL');
      await first.ended;
      const other = site.serve(['--resume', '--set', 'engine.block_size=8', '--join-timeout', '3']);
      const { code, stderr } = await other.ended;
      expect(code).to.equal(1);
      expect(stderr).to.match(/a rank was turned away: .*runs a job of another configuration than this head was given/);
      await processes.allGone();
    });
  });
});
