/** A head tells its ranks where the others are: here it tells them of relays instead. What it says is read after the handshake, without TLS. */
import { Packr } from 'msgpackr';
import type { Address } from '../../comm/ws/door/dial.js';
import { binaryMessage, frameAt } from './message_cutter.js';

/** As control messages are packed. */
const packr = new Packr({ useRecords: false, moreTypes: true });

/** Behind so many bytes no message says which it is. */
const TYPE_BYTES = 32;

/** Where a rank is reached by the one that is told of it. */
export type RouteTo = (rank: number, address: Address) => Promise<Address>;

interface Told {
  readonly type: string;
  readonly rank?: number;
  readonly host?: string;
  readonly port?: number;
  readonly addresses?: readonly (Address | null)[];
}

/** The message of a head, with the addresses in it that `routeTo` gives; as it is where it tells of none. `onWelcome` hears which rank is told. */
export async function rewritten(message: Buffer, routeTo: RouteTo, onWelcome: (rank: number) => void): Promise<Buffer> {
  const frame = frameAt(message, 0);
  if (frame?.end !== message.length) return message; // the HTTP response, or a message in parts
  const payload = message.subarray(frame.start);
  if (!/welcome|peers|admit/.test(payload.subarray(0, TYPE_BYTES).toString('latin1'))) return message;
  const told = packr.unpack(payload) as Told;
  switch (told.type) {
    case 'welcome':
      onWelcome(told.rank!);
      return message;
    case 'peers': {
      const route = async (address: Address | null, rank: number) => address && (await routeTo(rank, address));
      return binaryMessage(packr.pack({ ...told, addresses: await Promise.all(told.addresses!.map(route)) }));
    }
    case 'admit':
      return binaryMessage(
        packr.pack({ ...told, ...(await routeTo(told.rank!, { host: told.host!, port: told.port! })) }),
      );
    default:
      return message;
  }
}
