/** A cluster that meets on NATS: its requests don't notice what becomes of the bus. */
import { expect } from 'chai';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { withLocalCluster, type LocalCluster } from '../kit/cluster/local_cluster.js';
import { natsServer, NatsServer } from '../kit/cluster/nats_server.js';

const PROMPT = 'Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse';
const NUM_TOKENS = 32;

/** The tokens of a stream. `onToken`: called with each one's number, from 1 on. */
async function ask(
  url: string,
  id: string,
  onToken: (number: number) => Promise<void> | void = () => undefined,
): Promise<number[]> {
  const asked = {
    prompt: PROMPT,
    max_tokens: NUM_TOKENS,
    ignore_eos: true,
    temperature: 0.7,
    seed: 3,
    stream: true,
    return_token_ids: true,
  };
  const headers = { 'content-type': 'application/json', 'x-request-id': id };
  const answer = await fetch(`${url}/v1/completions`, { method: 'POST', headers, body: JSON.stringify(asked) });
  expect(answer.status).to.equal(200);
  const tokens: number[] = [];
  let rest = '';
  for await (const piece of answer.body!.pipeThrough(new TextDecoderStream()) as unknown as AsyncIterable<string>) {
    const events = (rest + piece).split('\n\n');
    rest = events.pop()!;
    for (const event of events) {
      const data = event.replace('data: ', '');
      const [choice] =
        data === '[DONE]'
          ? []
          : (JSON.parse(data) as { readonly choices: readonly { readonly token_ids?: number[] }[] }).choices;
      for (const token of choice?.token_ids ?? []) await onToken(tokens.push(token));
    }
  }
  return tokens;
}

const migrate = async ({ url }: LocalCluster, id: string, to: string): Promise<number> => {
  const headers = { 'content-type': 'application/json' };
  return (await fetch(`${url}/migrate`, { method: 'POST', headers, body: JSON.stringify({ request_id: id, to }) }))
    .status;
};

describe('a cluster on NATS', function () {
  let nats: NatsServer;
  before(async function () {
    if ((await natsServer()) === null) return this.skip();
    nats = await NatsServer.start();
  });
  after(() => (nats as NatsServer | undefined)?.close());

  const cluster = (name: string) => ({ bus: nats.url, name, heartbeat_ms: 100, ttl_ms: 2000 });

  it('computes prompts and what comes behind them apart, also where the bus is killed at any token, or not there at all', () =>
    withLocalCluster(
      DEMO_MODEL,
      [{ role: 'prefill' }, { role: 'decode', numRanks: 2 }],
      async ({ url, instances }) => {
        const alone = await ask(instances[1]!.url, 'alone');
        expect(await ask(url, 'quiet')).to.deep.equal(alone);
        for (const at of [1, 2, NUM_TOKENS]) {
          const told = await ask(url, `killed-${at}`, (number) => (number === at ? nats.kill() : undefined));
          expect(told, `killed at token ${at}`).to.deep.equal(alone);
          expect(await ask(url, `down-${at}`), 'while it is down').to.deep.equal(alone);
          const back = await ask(url, `back-${at}`, (number) => (number === at ? nats.restart() : undefined));
          expect(back, `back at token ${at}`).to.deep.equal(alone);
        }
      },
      {},
      cluster('apart'),
    ));

  it('moves requests while the bus is down', () =>
    withLocalCluster(
      DEMO_MODEL,
      [{}, {}],
      async (own) => {
        const alone = await ask(own.instances[1]!.url, 'alone');
        await nats.kill();
        const moved: Promise<number>[] = [];
        const told = await ask(own.url, 'moving', (number) => {
          if (number === 2) moved.push(migrate(own, 'moving', 'i0'), migrate(own, 'moving', 'i1'));
        });
        const statuses = await Promise.all(moved);
        await nats.restart();
        expect(told).to.deep.equal(alone);
        expect(statuses.sort(), 'one of them has it already').to.deep.equal([200, 409]);
      },
      {},
      cluster('moves'),
    ));
});
