/** Links of a given speed on one machine: a port per (dialing, listening) rank that forwards bytes no faster. Needs no rights. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Pacer } from './pacer.js';

const BYTES_PER_MS_AND_MBIT = 1000 / 8;
const BURST_MS = 3;
const HOST = '127.0.0.1';

/**
 * Ports to dial instead of `ports`, [dialing][listening]. All connections of a pair share one limit per direction; pairs and directions are
 * independent, as behind a switch.
 */
export async function limitLinks(mbit: number, ports: readonly number[]): Promise<number[][]> {
  const pacers = ports.map(() =>
    ports.map(() => new Pacer({ bytesPerMs: mbit * BYTES_PER_MS_AND_MBIT, burstMs: BURST_MS })),
  );
  return Promise.all(
    ports.map((_, from) =>
      Promise.all(ports.map((port, to) => limitedPort(port, pacers[from]![to]!, pacers[to]![from]!))),
    ),
  );
}

/** Listens on a free port and forwards to `port`: what the dialer says at the pace of `there`, the answers at that of `back`. */
function limitedPort(port: number, there: Pacer, back: Pacer): Promise<number> {
  const server = createServer((near) => {
    const far = connect({ host: HOST, port });
    forward(near, far, there);
    forward(far, near, back);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, HOST, () => resolve((server.address() as AddressInfo).port));
  });
}

/** Holds one chunk at a time, until the link has carried it. */
function forward(from: Socket, to: Socket, pacer: Pacer): void {
  from.setNoDelay(true);
  from.on('data', (chunk: Buffer) => {
    const nowMs = performance.now();
    const waitMs = pacer.pass(chunk.byteLength, nowMs) - nowMs;
    const pass = (): void => {
      if (to.destroyed) return;
      if (to.write(chunk)) from.resume();
      else to.once('drain', () => from.resume());
    };
    from.pause();
    // A timer counts whole milliseconds; the burst makes up for those that come late.
    if (waitMs <= 0) pass();
    else setTimeout(pass, waitMs);
  });
  from.on('error', () => to.destroy());
  from.on('end', () => to.end());
  from.on('close', () => to.destroy());
}
