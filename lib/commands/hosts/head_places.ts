/** Where the head listens for ranks of `launch --hosts`, and where each host looks for it. Pure. */
import { isIPv6 } from 'node:net';
import { formatAddress, type Address } from '../base/address.js';

/** What is known before anything starts. */
export interface HeadPlaceQuestion {
  /** Of each host, the address by which this machine reaches it. */
  readonly reached: readonly string[];
  /** A port that was free. */
  readonly port: number;
  /** `--listen`, if given. */
  readonly listen?: Address | undefined;
  /** `--advertise`, if given. */
  readonly advertise?: string | undefined;
  /** Of this machine's interfaces. */
  readonly ownAddresses: readonly string[];
}

/** What the head and each host are told. */
export interface HeadPlaces {
  /** HOST:PORT for the head. */
  readonly listen: string;
  /** Under which ranks elsewhere find those of the head's machine; undefined: where they find the head. */
  readonly advertise?: string;
  /** HOST:PORT for each host, in their order. */
  readonly heads: readonly string[];
}

const ANY_IPV4 = '0.0.0.0';
const ANY_IPV6 = '::';
const isAny = (host: string): boolean => host === ANY_IPV4 || host === ANY_IPV6;

/** One address that all hosts see is listened at alone; where they see several, the head listens at all of them. */
export function headPlaces({ reached, port, listen, advertise, ownAddresses }: HeadPlaceQuestion): HeadPlaces {
  const seen = advertise === undefined ? reached : reached.map(() => advertise);
  const own =
    seen.every((address) => address === seen[0]) && (advertise === undefined || ownAddresses.includes(advertise));
  const at = listen?.host ?? (own ? seen[0]! : seen.some((address) => isIPv6(address)) ? ANY_IPV6 : ANY_IPV4);
  const bound = listen?.port ?? port;
  const isFixed = advertise === undefined && !isAny(at);
  const heads = seen.map((address) => formatAddress({ host: isFixed ? at : address, port: bound }));
  const told = isFixed ? {} : { advertise: seen[0]! };
  return { listen: formatAddress({ host: at, port: bound }), ...told, heads };
}
