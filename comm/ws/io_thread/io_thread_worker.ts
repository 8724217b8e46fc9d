/** The I/O thread: owns the sockets of a WebSocket mesh and does for its compute thread what it asks. Started by IoThreadServer. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { CommError } from '../../base/errors.js';
import type { FrameKey } from '../../mesh/frame.js';
import { framesOf, isFrameMessage, type FrameMessage } from '../../threads/frame_port.js';
import type { Rank } from '../../../base/ids.js';
import {
  plainErrorOf,
  type FromIoThread,
  type IoThreadOrder,
  type ThreadMeshOptions,
  type ToIoThread,
} from './io_thread_messages.js';
import type { Frame, Mesh } from '../../mesh/mesh.js';
import { listenForPeers, openWsMesh, type WsMeshOptions } from '../ws_mesh.js';
import type { WsServer } from '../door/ws_server.js';

/** The compute thread has the deadlines: only time in which its own event loop runs counts. */
const NO_DEADLINE_MS = 2 ** 31 - 1;

class IoThread {
  private readonly opening = new AbortController();
  private readonly receiving = new Map<number, AbortController>();
  private mesh: Mesh | undefined;

  constructor(
    private readonly port: MessagePort,
    private readonly server: WsServer,
  ) {
    port.on('message', (message: FrameMessage | ToIoThread) => {
      if (isFrameMessage(message)) this.send(message);
      else this.obey(message);
    });
    tell(port, { kind: 'listening', host: server.host, port: server.port });
  }

  private obey(message: ToIoThread): void {
    switch (message.kind) {
      case 'open':
        return void this.open(message.options);
      case 'abort':
        return this.opening.abort();
      case 'receive':
        return void this.receive(message.id, message.from, message.key);
      case 'cancel':
        return this.receiving.get(message.id)?.abort();
      case 'advance_epoch':
        return this.mesh!.advanceEpoch(message.epoch);
      case 'mute':
        return this.mesh!.mute(message.rank, message.isMuted);
      case 'admit':
        return void this.admit(message);
      case 'dismiss':
        return this.mesh!.dismiss(message.rank, message.why);
      case 'close':
        return void this.close();
    }
  }

  private async open(options: ThreadMeshOptions): Promise<void> {
    const onLost: WsMeshOptions['onLost'] = (rank, why, code) => tell(this.port, { kind: 'lost', rank, why, code });
    try {
      this.mesh = await openWsMesh({ ...options, server: this.server, signal: this.opening.signal, onLost });
      tell(this.port, { kind: 'open' });
    } catch (error) {
      fail(this.port, error);
    }
  }

  private async admit({ id, rank, address, timeoutMs }: Extract<ToIoThread, { kind: 'admit' }>): Promise<void> {
    try {
      await this.mesh!.admit(rank, address, { timeoutMs });
      tell(this.port, { kind: 'admitted', id });
    } catch (error) {
      tell(this.port, { kind: 'not_admitted', id, error: plainErrorOf(error) });
    }
  }

  private send(message: FrameMessage): void {
    const mesh = this.mesh!;
    for (const { header, payload } of framesOf(message, mesh.memory)) {
      try {
        mesh.give(header.destination, header, payload);
      } catch (error) {
        tell(this.port, { kind: 'unsent', to: header.destination, error: plainErrorOf(error) });
      }
    }
  }

  private async receive(id: number, from: Rank, key: FrameKey): Promise<void> {
    const canceled = new AbortController();
    this.receiving.set(id, canceled);
    const mesh = this.mesh!;
    try {
      this.hand(id, await mesh.receive(from, key, { timeoutMs: NO_DEADLINE_MS, signal: canceled.signal }));
    } catch (error) {
      tell(this.port, { kind: 'refused', id, error: plainErrorOf(error), stats: mesh.stats() });
    } finally {
      this.receiving.delete(id);
    }
  }

  /** The payload's memory changes hands: it is given back there. */
  private hand(id: number, { header, payload, arrivedMs }: Frame): void {
    const arrivedAtMs = performance.timeOrigin + arrivedMs;
    const stats = this.mesh!.stats();
    const transfer = payload.byteLength === 0 ? [] : [payload.buffer]; // all empty ones share one
    tell(this.port, { kind: 'frame', id, header, payload, arrivedAtMs, stats }, transfer);
  }

  private async close(): Promise<void> {
    await (this.mesh ?? this.server).close();
    this.port.close();
  }
}

function tell(port: MessagePort, message: FromIoThread, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

/** Says why this thread is of no use, and ends it. */
function fail(port: MessagePort, error: unknown): void {
  tell(port, { kind: 'failed', error: plainErrorOf(error) });
  port.close();
}

if (parentPort === null)
  throw new CommError('INVALID_ARGUMENT', 'this file is run as a worker thread; open an I/O thread mesh');
const port = parentPort;
const { address, tls } = workerData as IoThreadOrder;
await listenForPeers(address, {
  tls,
  onRefused: (error, from) => tell(port, { kind: 'turned_away', error: plainErrorOf(error), from }),
}).then(
  (server) => new IoThread(port, server),
  (error: unknown) => fail(port, error),
);
