/** Keys and values between instances over WebSockets: each rank that lets others read has a port of its own. Why: docs/decisions/handover.md#a-door-of-its-own */
import * as z from 'zod';
import { CommError } from '../base/errors.js';
import type { TlsOptions } from '../base/tls.js';
import { dial, type Address } from '../ws/door/dial.js';
import type { OnRefused } from '../ws/door/refusals.js';
import { WsServer } from '../ws/door/ws_server.js';
import { BlockIntake, maxBlockFrameBytes } from './block_frames.js';
import { KvIntake, maxKvFrameBytes } from './kv_frames.js';
import type {
  KvBlocksDialOptions,
  KvBlockStream,
  KvDialOptions,
  KvDoor,
  KvLeases,
  KvNetwork,
  KvPlace,
  KvStream,
} from './kv_link.js';
import { encodeAsked, MAX_KV_MESSAGE_BYTES, type KvAsked } from './kv_messages.js';
import { WsKvReader } from './ws_kv_reader.js';
import { WsKvStream, type FrameIntake } from './ws_kv_stream.js';

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
        const reader = new WsKvReader(ws, socket, (asked) =>
          asked.type === 'pull'
            ? leases.onReader(lease, reader.ofRows(asked.wish))
            : leases.onBlocksReader(lease, reader.ofBlocks(asked.wish)),
        );
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
  dial({ wish, ...where }: KvDialOptions): Promise<KvStream> {
    return this.ask(where, { type: 'pull', wish }, new KvIntake(wish), maxKvFrameBytes(wish));
  }

  /** As {@link dial}. */
  dialBlocks({ wish: asked, keys, ...where }: KvBlocksDialOptions): Promise<KvBlockStream> {
    const wish = { ...asked, numBlocks: keys.length };
    return this.ask(where, { type: 'fetch', wish }, new BlockIntake(wish, keys), maxBlockFrameBytes(wish));
  }

  private ask<Content>(
    { place, lease, signal }: KvPlace,
    asked: KvAsked,
    intake: FrameIntake<Content>,
    maxFrameBytes: number,
  ): Promise<WsKvStream<Content>> {
    const { tls, timeoutMs } = this.options;
    const target = { address: place, path: KV_PATH, secret: lease.token, tls, purpose: 'kv' } as const;
    const maxPayload = Math.max(maxFrameBytes, MAX_KV_MESSAGE_BYTES);
    const how = { identity: { lease: lease.id }, maxPayload, timeoutMs, isThere: true, signal };
    return dial({ ...target, ...how }, (ws) => {
      ws.send(encodeAsked(asked));
      return new WsKvStream(ws, intake, timeoutMs);
    });
  }
}
