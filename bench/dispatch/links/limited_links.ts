/** Links of a given speed between ranks: a port per (dialing, listening) rank that forwards bytes no faster. */
import { FineClock } from '../../links/fine_clock.js';
import { Lane } from '../../links/lane.js';
import { LinkPort } from '../../links/link_port.js';

const MBIT_BYTES = 125_000;
const HOST = '127.0.0.1';

/**
 * Ports to dial instead of `ports`, [dialing][listening]. All connections of a pair share one limit per direction; pairs and directions are
 * independent, as behind a switch.
 */
export async function limitLinks(mbit: number, ports: readonly number[]): Promise<number[][]> {
  const clock = new FineClock();
  const lane = (): Lane => new Lane({ delayMs: 0, bytesPerSecond: mbit * MBIT_BYTES });
  const lanes = ports.map(() => ports.map(lane));
  const limited = async (from: number, to: number, port: number): Promise<number> => {
    const [sent, got] = [lanes[from]![to]!, lanes[to]![from]!];
    return (await LinkPort.open({ host: HOST, port }, { sent, got, clock })).address.port;
  };
  return Promise.all(ports.map((_, from) => Promise.all(ports.map((port, to) => limited(from, to, port)))));
}
