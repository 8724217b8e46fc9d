/** Where a pool lets others in: who knows its key may have it read blocks, and who knows a lease reads those that it lends. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { Deadline } from '../../comm/base/deadline.js';
import { CommError } from '../../comm/base/errors.js';
import type { TlsOptions } from '../../comm/base/tls.js';
import type { KvDoor, KvNetwork } from '../../comm/kv/kv_link.js';
import { WsKvNetwork } from '../../comm/kv/ws_kv.js';
import type { OnRefused } from '../../comm/ws/door/refusals.js';
import { WsServer } from '../../comm/ws/door/ws_server.js';
import type { LentBlocks } from '../rank/handover/lent_blocks.js';
import { KvPoolError } from './errors.js';
import { POOL_PATH, type KvPoolAddress } from './pool_link.js';
import { decodeBring, encodeBrought, encodeFailed, MAX_POOL_MESSAGE_BYTES, type BringOrder } from './pool_messages.js';

/** Where a pool listens: two ports, one for questions, one for blocks. */
export interface KvPoolListen {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** For questions: the address that others are told. Default 0: any that is free. */
  readonly port?: number;
  /** For blocks. Default 0. */
  readonly blocksPort?: number;
  /** The host that others are told. Default `host`. */
  readonly advertise?: string;
  /** What others have to know: 16 characters at least. Default: drawn. */
  readonly key?: string;
  /** Default: no TLS. */
  readonly tls?: TlsOptions;
  /** Told why a connection was refused: each reason once per address, a few a minute. */
  readonly onRefused?: OnRefused;
}

/** What is done with what comes. */
export interface PoolDoorHost {
  readonly lent: LentBlocks;
  /** Resolves with the numbers of the blocks when they are there. */
  take(order: BringOrder, signal: AbortSignal): Promise<readonly number[]>;
}

/** Links of others at a time. */
const MAX_LINKS = 64;
/** How long who proved the key may take to say what it wants. */
const QUESTION_MS = 30_000;
const KEEP_ALIVE_MS = 10_000;

/** Open ports. */
export class PoolDoor {
  private readonly links = new Set<WebSocket>();

  private constructor(
    readonly address: KvPoolAddress,
    /** Where blocks that this pool lends are read. */
    readonly blocks: KvDoor,
    /** Through which it reads others'. */
    readonly network: Pick<KvNetwork, 'dialBlocks'>,
    private readonly server: WsServer,
    private readonly host: PoolDoorHost,
  ) {
    const { key } = address;
    server.onPeer({
      ...{ purpose: 'pool', secret: key },
      admit: () => {
        if (this.links.size < MAX_LINKS) return;
        throw new CommError('LIMIT', `${MAX_LINKS} others bring blocks to this pool already; try again later`);
      },
      onPeer: (ws, socket) => this.welcome(ws, socket),
    });
  }

  /** @throws CommError ADDRESS_IN_USE, UNREACHABLE, INVALID_ARGUMENT */
  static async open(
    { host = '127.0.0.1', port = 0, blocksPort = 0, advertise = host, tls, onRefused, ...rest }: KvPoolListen,
    timeoutMs: number,
    owner: PoolDoorHost,
  ): Promise<PoolDoor> {
    const { lent } = owner;
    const network = new WsKvNetwork({ listen: { host, port: blocksPort }, advertise, tls, onRefused, timeoutMs });
    const blocks = await network.open({
      tokenOf: (lease) => lent.tokenOf(lease),
      onReader: (_, reader) => reader.end(new KvPoolError('REFUSED', 'a pool lends blocks, not rows; ask for those')),
      onBlocksReader: (lease, reader) => lent.onReader(lease, reader),
    });
    try {
      const limits = { path: POOL_PATH, maxPayload: MAX_POOL_MESSAGE_BYTES };
      const server = await WsServer.listen({ host, port, ...limits, tls, onRefused });
      const { key = randomBytes(32).toString('hex') } = rest;
      return new PoolDoor({ host: advertise, port: server.port, key }, blocks, network, server, owner);
    } catch (error) {
      await blocks.close();
      throw error;
    }
  }

  /** Idempotent: ends all links. */
  async close(): Promise<void> {
    for (const ws of this.links) ws.terminate();
    await Promise.all([this.blocks.close(), this.server.close()]);
  }

  private welcome(ws: WebSocket, socket: Socket): void {
    // A machine that vanished sends no FIN.
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const gone = new AbortController();
    const deadline = new Deadline(QUESTION_MS, () => ws.terminate());
    this.links.add(ws);
    ws.on('error', () => ws.terminate());
    ws.on('close', () => {
      deadline.cancel();
      this.links.delete(ws);
      gone.abort();
    });
    ws.once('message', (data) => {
      deadline.cancel();
      void this.answer(data as Buffer, gone.signal).then((answer) => {
        if (ws.readyState === ws.OPEN) ws.send(answer);
      });
    });
  }

  private async answer(message: Uint8Array, signal: AbortSignal): Promise<string> {
    try {
      return encodeBrought(await this.host.take(decodeBring(message), signal));
    } catch (error) {
      return encodeFailed(error);
    }
  }
}
