/** Ranks that are killed, come from elsewhere, replace each other and are told to go: with real processes. The rest is in test/lib/job and test/lib/head. */
import { expect } from 'chai';
import { loadConfig } from '../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { Engine } from '../../../lib/head/engine.js';
import { kill, Processes, until, type Running } from '../../kit/processes/processes.js';
import { SECRET } from '../../kit/processes/ranks_elsewhere.js';

const processes = new Processes();

const PROMPTS = ['Call me', 'In the beginning', 'import', '# A', 'The LORD said unto', 'It was the best of'];
const SET = ['comm.on_peer_loss=recover', 'comm.reduce=source', 'parallel.max_ranks=4', 'parallel.spare_ranks=1'];

/** A job of two ranks and a spare, which others may join. */
class OpenJob {
  private constructor(
    readonly engine: Engine,
    private readonly port: number,
  ) {}

  static async start(): Promise<OpenJob> {
    const config = await loadConfig({ base: { model: DEMO_MODEL, parallel: { ranks: 2 } }, overrides: SET });
    const address = { host: '127.0.0.1', port: 0 };
    const onListening = ({ port }: { readonly port: number }): void => void (address.port = port);
    const engine = await Engine.start({ config, listen: { ...address }, secret: SECRET, onListening });
    return new OpenJob(engine, address.port);
  }

  /** Another command on this machine, whose rank the head doesn't know. */
  rank(...more: readonly string[]): Running {
    const env = { EXPERTWIRE_JOB_SECRET: SECRET };
    return processes.cli(['rank', '--head', `127.0.0.1:${this.port}`, '--join-timeout', '30', ...more], { env });
  }

  signal(seat: number, signal: NodeJS.Signals): void {
    kill(this.engine.stats().loadReports[seat]!.pid, signal);
  }

  /** Waits until these are the members, and these the spares. */
  async until(states: string, ...spares: readonly number[]): Promise<void> {
    const story = (): string =>
      `${this.engine.stats().rankStates.join(' ')}, spares: ${this.engine.stats().spares.join()}`;
    const wanted = `${states}, spares: ${spares.join()}`;
    await until(
      () => story() === wanted,
      () => `${story()} instead of ${wanted}`,
    );
  }

  /** What becomes of all prompts. */
  batch(numTokens = 64): Promise<number[][]> {
    return Promise.all(
      PROMPTS.map(async (prompt) => {
        const tokenIds: number[] = [];
        const promptTokenIds = this.engine.tokenizer!.encode(prompt);
        const request = { promptTokenIds, maxNewTokens: numTokens, ignoreEos: true };
        for await (const event of this.engine.generate(request)) {
          if (event.kind === 'token') tokenIds.push(event.tokenId);
        }
        return tokenIds;
      }),
    );
  }
}

describe('members and spares of a job, here and elsewhere', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('replace each other whoever is killed or told to go, and all requests have the tokens that they would have had', async () => {
    const job = await OpenJob.start();
    try {
      const undisturbed = await job.batch();
      /** While requests run; what comes of it is waited for. */
      const expectSame = async (
        disturb: () => unknown,
        states: string,
        ...spares: readonly number[]
      ): Promise<void> => {
        const batch = job.batch();
        await new Promise((resolve) => setImmediate(resolve));
        disturb();
        expect(await batch).to.deep.equal(undisturbed);
        await job.until(states, ...spares);
      };
      await job.until('present present', 2);
      await expectSame(() => job.signal(1, 'SIGKILL'), 'present lost present', 1); // a spare comes in, another one is started
      const elsewhere = job.rank('--restart');
      await job.until('present present present', 3); // the older spare came in
      await expectSame(() => job.signal(0, 'SIGKILL'), 'lost present present present', 0);
      await expectSame(() => job.signal(3, 'SIGKILL'), 'present present present lost', 3); // started again by its command
      expect(elsewhere.stderr).to.match(
        /warning: rank 3 \(process \d+\) was killed by SIGKILL; another one is started/,
      );
      expect(job.engine.stats().lostRanks).to.deep.equal([3]);
      await expectSame(() => job.signal(1, 'SIGTERM'), 'present left present lost', 3);
      elsewhere.signalGroup('SIGTERM'); // as launchers do
      expect((await elsewhere.ended).code).to.equal(0);
      await expectSame(() => undefined, 'present left present lost');
      expect(job.engine.stats().numDegradedTokens).to.equal(0);
    } finally {
      await job.engine.close();
    }
  });
});
