/** Keys and values between instances over WebSockets: each rank that lets others read has a port of its own. Why: docs/decisions/handover.md#a-door-of-its-own */
import * as z from 'zod';
import { CommError } from '../base/errors.js';
import type { TlsOptions } from '../base/tls.js';
import { dial, type Address } from '../ws/door/dial.js';
import type { OnRefused } from '../ws/door/refusals.js';
import { WsServer } from '../ws/door/ws_server.js';
import { maxKvFrameBytes } from './kv_frames.js';
import type { KvDialOptions, KvDoor, KvLeases, KvNetwork, KvStream } from './kv_link.js';
import { encodeWish, MAX_KV_MESSAGE_BYTES } from './kv_messages.js';
import { WsKvReader } from './ws_kv_reader.js';
import { WsKvStream } from './ws_kv_stream.js';

const KV_PATH = '/expertwire/kv';

/** Where this rank is, and how long it waits. */
export interface WsKvOptions {
  /** Where it listens. */
  readonly listen: Address;
  /** The host that others are told. */
  readonly advertise: string;
  /** Default: no TLS. */
  readonly tls?: TlsOptions | undefined;
  /** Told why a connection was refused: each reason once per address, a few a minute. */
  readonly onRefused?: OnRefused | undefined;
  /** How long the other side may give no sign of life, or take to shake hands. */
  readonly timeoutMs: number;
}

/** What a target says it is. */
const IDENTITY = z.object({ lease: z.string().max(64) });

/** The network of one rank. */
export class WsKvNetwork implements KvNetwork {
  constructor(private readonly options: WsKvOptions) {}

  /** @throws CommError ADDRESS_IN_USE, UNREACHABLE or INVALID_ARGUMENT */
  async open(leases: KvLeases): Promise<KvDoor> {
    const { listen, advertise, tls, onRefused } = this.options;
    const limits = { path: KV_PATH, maxPayload: MAX_KV_MESSAGE_BYTES };
    const server = await WsServer.listen({ ...listen, ...limits, tls, onRefused });
    const readers = new Set<WsKvReader>();
    server.onPeer({
      purpose: 'kv',
      secret: (identity) => {
        const { success, data } = IDENTITY.safeParse(identity);
        return success ? leases.tokenOf(data.lease) : null;
      },
      admit: () => undefined,
      onPeer: (ws, socket, identity) => {
        const { lease } = identity as z.infer<typeof IDENTITY>;
        const reader = new WsKvReader(ws, socket, (ready) => leases.onReader(lease, ready));
        readers.add(reader);
        reader.gone.addEventListener('abort', () => readers.delete(reader), { once: true });
      },
    });
    return {
      address: { host: advertise, port: server.port },
      close: async () => {
        for (const reader of readers) reader.end(new CommError('CLOSED', 'the rank has ended; read from another'));
        await server.close();
      },
    };
  }

  /** @throws CommError UNREACHABLE, AUTH_FAILED, VERSION_MISMATCH, ABORTED or INVALID_ARGUMENT */
  dial({ place, lease, wish, signal }: KvDialOptions): Promise<KvStream> {
    const { tls, timeoutMs } = this.options;
    const target = { address: place, path: KV_PATH, secret: lease.token, tls, purpose: 'kv' } as const;
    const maxPayload = Math.max(maxKvFrameBytes(wish), MAX_KV_MESSAGE_BYTES);
    const how = { identity: { lease: lease.id }, maxPayload, timeoutMs, isThere: true, signal };
    return dial({ ...target, ...how }, (ws) => {
      ws.send(encodeWish(wish));
      return new WsKvStream(ws, { wish, timeoutMs });
    });
  }
}
