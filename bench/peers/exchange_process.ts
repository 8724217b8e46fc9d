/** Ranks of our mesh that exchange plain frames, as a program that answers orders: its argument is a transport. */
import { createInterface } from 'node:readline';
import { timingsOf } from '../dispatch/interleave.js';
import type { Transport } from '../dispatch/base/transport.js';
import { Parties } from '../dispatch/parties/parties.js';

const [transport, ranks, maxBytes] = [process.argv[2] as Transport, Number(process.argv[3]), Number(process.argv[4])];
const parties = await Parties.open({
  ...{ ranks, transport, ioThread: false, microBatches: 1, linkMbit: undefined },
  maxFrameBytes: 2 * maxBytes + 65_536,
  signal: new AbortController().signal,
});
const tell = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);
tell({ ready: {} });
for await (const line of createInterface(process.stdin)) {
  const { bytes, iterations } = JSON.parse(line) as { readonly bytes: number; readonly iterations: number };
  const samples = await parties.run('mesh', { kind: 'messages', bytes, count: 1 }, iterations);
  tell({ us: timingsOf([samples]).us.message! });
}
await parties.close();
