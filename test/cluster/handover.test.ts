/** Requests that go on in another instance whose ranks are real processes or threads: the same tokens, rows over real sockets, and nothing left behind. */
import { expect } from 'chai';
import { writeCertificates } from '../kit/comm/certificates.js';
import { startEngine, type EngineSetup } from '../kit/engine/engines.js';
import { OfferedSource } from '../kit/engine/offered_source.js';
import { moe7mCases } from '../kit/model/goldens.js';
import { moe7m } from '../kit/paths.js';
import { freePort } from '../kit/processes/ports.js';
import { Processes } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';
import type { Engine } from '../../lib/head/engine.js';
import type { TokenEvent } from '../../lib/protocol/request.js';

const processes = new Processes();
const CLUSTER = ['cluster.enabled=true', 'engine.prefix_cache=off'];
/** moe-7m: 4 layers of MLA, a latent of 48 floats and a rotated key of 16. */
const BYTES_PER_TOKEN = 4 * (48 + 16) * 4;

const tokensOf = (events: readonly TokenEvent[]): number[] =>
  events.flatMap((event) => (event.kind === 'token' ? [event.tokenId] : []));

interface Moved {
  readonly tokens: readonly number[];
  readonly numRows: number;
}

/** A request of `from` that goes on in `to`, as soon as that can; what both say, and of how many tokens rows are wanted. */
async function move(from: Engine, to: Engine, promptTokenIds: readonly number[]): Promise<Moved> {
  const request = { promptTokenIds, maxNewTokens: 32, ignoreEos: true };
  const source = new OfferedSource(from, 'a request');
  const told: TokenEvent[] = [];
  const here = (async () => {
    for await (const event of from.generate({ ...request, id: 'a request', movable: true })) told.push(event);
  })();
  const there: TokenEvent[] = [];
  for await (const event of to.generate({ ...request, source })) there.push(event);
  await here;
  expect(told.at(-1)!.kind).to.equal('moved');
  const [resumed] = there;
  if (resumed?.kind !== 'resumed') throw new Error(`the first event is ${resumed?.kind}`);
  const tokens = [...tokensOf(told), ...tokensOf(there)];
  return { tokens, numRows: promptTokenIds.length + resumed.numTokens - 1 };
}

describe('requests of moe-7m that go on in another instance', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  const [golden] = moe7mCases();
  const prompt = golden!.prompt_token_ids;

  const use = async (
    setups: readonly Omit<EngineSetup, 'model'>[],
    act: (from: Engine, to: Engine) => Promise<void>,
  ): Promise<void> => {
    const start = ({ set = [], ...setup }: Omit<EngineSetup, 'model'>): Promise<Engine> =>
      startEngine({ model: moe7m(), reduce: 'source', ...setup, set: [...CLUSTER, ...set] });
    const [from, to] = await Promise.all(setups.map(start));
    try {
      await act(from!, to!);
    } finally {
      await Promise.all([from!.close(), to!.close()]);
    }
  };

  for (const [name, setups, wireBytes] of [
    ['from one process to two, exact', [{ ranks: 1 }, { ranks: 2, set: ['engine.block_size=4'] }], 1],
    [
      'from two threads to a process with an I/O thread, half as long',
      [
        { ranks: 2, set: ['comm.transport=threads'] },
        { ranks: 1, set: ['comm.io_thread=true', 'cluster.kv_wire=bf16'] },
      ],
      0.5,
    ],
  ] as const) {
    it(`read rows and compute none again: ${name}`, () =>
      use(setups, async (from, to) => {
        const { tokens, numRows } = await move(from, to, prompt);
        if (wireBytes === 1) expect(tokens).to.deep.equal(golden!.greedy_token_ids);
        const { arrivals, numArrivedTokens } = to.stats();
        expect(numArrivedTokens).to.equal(numRows);
        expect(arrivals).to.deep.include({
          ...{ pulledBytes: numArrivedTokens * BYTES_PER_TOKEN * wireBytes, numFailedPulls: 0, numRecomputed: 0 },
        });
      }));
  }

  it('find doors where their instance is reached from other machines, also of threads', () =>
    use(
      [
        { ranks: 2, set: ['server.host=0.0.0.0', 'cluster.url=http://reached.example:80'] },
        { ranks: 2, set: ['cluster.url=http://proxied.example', 'comm.transport=threads'] },
      ],
      (from, to) => {
        const hostsOf = (engine: Engine): unknown => engine.stats().loadReports.map(({ kvDoor }) => kvDoor?.host);
        const hosts = ['reached.example', 'proxied.example'];
        expect([from, to].map(hostsOf)).to.deep.equal(hosts.map((host) => [host, host]));
        return Promise.resolve();
      },
    ));

  it('read them over TLS at ports that were chosen; who has no certificate computes them again, to the same tokens', () =>
    withTempFolder(async (dir) => {
      const { cert, key, ca } = await writeCertificates(dir, 'cluster');
      const tls = [`comm.tls.cert=${cert}`, `comm.tls.key=${key}`, `comm.tls.ca=${ca}`];
      const port = await freePort();
      const source = { ranks: 1, set: [...tls, `cluster.kv_port=${port}`] };
      await use([source, { ranks: 1, set: tls }], async (from, to) => {
        expect(from.stats().loadReports.map(({ kvDoor }) => kvDoor)).to.deep.equal([{ host: '127.0.0.1', port }]);
        expect((await move(from, to, prompt)).tokens).to.deep.equal(golden!.greedy_token_ids);
        expect(to.stats().arrivals).to.deep.include({ numFailedPulls: 0, numRecomputed: 0 });
        const stranger = await startEngine({ model: moe7m(), ranks: 1, reduce: 'source', set: CLUSTER });
        try {
          expect((await move(from, stranger, prompt)).tokens).to.deep.equal(golden!.greedy_token_ids);
          expect(stranger.stats().arrivals).to.deep.include({ numPulls: 0, numRecomputed: 1 });
        } finally {
          await stranger.close();
        }
      });
    }));
});
