/** Ranks of our mesh that exchange plain frames or tokens, as a program that answers orders: its arguments are a transport, ranks, and the most bytes of a frame. */
import { createInterface } from 'node:readline';
import { trafficOf } from '../dispatch/matrices.js';
import { timingsOf } from '../dispatch/interleave.js';
import type { RawPhase, Workload } from '../dispatch/base/orders.js';
import type { Transport } from '../dispatch/base/transport.js';
import { Parties } from '../dispatch/parties/parties.js';

/** `bytes`: plain frames. `tokens`: a dispatch and a combine of them; `raw`: their bytes over plain TCP. */
type ExchangeOrder =
  | { readonly op: 'exchange'; readonly bytes: number; readonly iterations: number }
  | { readonly op: 'prepare'; readonly workload: Workload }
  | { readonly op: 'tokens' | 'raw'; readonly iterations: number };

const [transport, ranks, maxBytes] = [process.argv[2] as Transport, Number(process.argv[3]), Number(process.argv[4])];
const parties = await Parties.open({
  ...{ ranks, transport, ioThread: false, microBatches: 1, linkMbit: undefined },
  maxFrameBytes: 2 * maxBytes + 65_536,
  signal: new AbortController().signal,
});
const tell = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);
let phases: readonly RawPhase[] = [];

async function answer(order: ExchangeOrder): Promise<object> {
  switch (order.op) {
    case 'exchange': {
      const task = { kind: 'messages', bytes: order.bytes, count: 1 } as const;
      return { us: timingsOf([await parties.run('mesh', task, order.iterations)]).us.message! };
    }
    case 'prepare': {
      const { dispatch, combine } = trafficOf((await parties.prepare(order.workload)).map(({ stats }) => stats));
      phases = [
        { name: 'dispatch', count: 1, bytes: dispatch.bytes },
        { name: 'combine', count: 1, bytes: combine.bytes },
      ];
      const sent = dispatch.bytes.flat().reduce((sum, bytes) => sum + bytes, 0);
      return { bytesPerPair: Math.round(sent / (ranks * (ranks - 1))) };
    }
    case 'tokens':
      return { us: timingsOf([await parties.run('mesh', { kind: 'all_to_all' }, order.iterations)]).us };
    case 'raw':
      return { us: timingsOf([await parties.run('naive', { kind: 'exchange', phases }, order.iterations)]).us };
  }
}

tell({ ready: {} });
for await (const line of createInterface(process.stdin)) tell(await answer(JSON.parse(line) as ExchangeOrder));
await parties.close();
