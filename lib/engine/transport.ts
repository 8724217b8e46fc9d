/** Which ways for frames go together with which jobs. */
import { ConfigError } from '../config/errors.js';
import type { ExpertwireConfig } from '../config/schema.js';

/** Throws ConfigError INVALID_VALUE where `comm.transport: threads` can't reach every rank, can't lose one alone, or has no sockets to move. */
export function checkTransport(
  { transport, io_thread: ioThread, on_peer_loss: onPeerLoss }: ExpertwireConfig['comm'],
  numExternalRanks: number,
): void {
  if (transport !== 'threads') return;
  const key = 'comm.transport';
  if (numExternalRanks > 0) {
    const what = `"${key}" is threads, but ${numExternalRanks} ${numExternalRanks === 1 ? 'rank joins' : 'ranks join'} from elsewhere`;
    throw new ConfigError('INVALID_VALUE', `${what}, which share no memory with this process; set it to ws`, { key });
  }
  if (onPeerLoss === 'mask') {
    const what = `"${key}" is threads, which end together with their process, but "comm.on_peer_loss" is mask`;
    throw new ConfigError('INVALID_VALUE', `${what}; set "${key}" to ws or "comm.on_peer_loss" to fail`, { key });
  }
  if (ioThread) {
    const what = `"${key}" is threads, which have no sockets, but "comm.io_thread" is true`;
    throw new ConfigError('INVALID_VALUE', `${what}; set one of them to its default`, { key });
  }
}
