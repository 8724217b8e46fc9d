/** The process that all links between ranks go through. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Address } from '../../comm/ws/door/dial.js';
import { BenchError } from '../base/errors.js';
import type { LinkLimits } from './lane.js';

/** What it is told. */
export type RelayOrder =
  | { readonly kind: 'lead_to'; readonly head: Address }
  | { readonly kind: 'cut'; readonly between: readonly [number, number] }
  | { readonly kind: 'silence'; readonly from: number; readonly to: number }
  | { readonly kind: 'heal' };

/** What it says when it listens. */
export interface RelayNews {
  readonly port: number;
}

/** Told what becomes of links. */
export class Relays {
  /** Where ranks join, instead of at the head. */
  readonly address: Address;

  /** Started, and listening. @throws BenchError PROCESS_DIED */
  static async open(limits: LinkLimits, signal: AbortSignal): Promise<Relays> {
    const file = fileURLToPath(new URL('./relay_process.js', import.meta.url));
    const child = fork(file, [JSON.stringify(limits)], { execArgv: ['--no-warnings'] });
    const over = new AbortController();
    const waiting = { signal: AbortSignal.any([signal, over.signal]) };
    const died = once(child, 'exit', waiting).then(() => {
      throw new BenchError('PROCESS_DIED', 'the process of the relays ended before it listened; run it again');
    });
    died.catch(() => undefined);
    try {
      const [news] = (await Promise.race([once(child, 'message', waiting), died])) as [RelayNews];
      return new Relays(child, news.port);
    } catch (error) {
      child.kill();
      throw error;
    } finally {
      over.abort();
    }
  }

  private constructor(
    private readonly child: ChildProcess,
    port: number,
  ) {
    this.address = { host: '127.0.0.1', port };
  }

  /** What becomes of links from now on. */
  tell(order: RelayOrder): void {
    if (this.child.connected) this.child.send(order);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, 'exit');
    if (this.child.connected) this.child.disconnect();
    await exit;
  }
}
