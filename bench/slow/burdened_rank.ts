/** A rank of a job that is as slow as one wants it to be. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Address } from '../../comm/ws/door/dial.js';

/** What its process is told. */
export type BurdenOrder =
  | { readonly kind: 'join'; readonly head: Address; readonly secret: string; readonly ranksHere: number }
  /** It takes so many times longer for whatever it computes, from now on. */
  | { readonly kind: 'burden'; readonly factor: number };

/** Owns the process: {@link close} ends it. */
export class BurdenedRank {
  /** Resolves when its process has ended. */
  readonly ended: Promise<unknown>;
  private readonly child: ChildProcess;

  /** As fast as any other at first. */
  constructor(order: Omit<Extract<BurdenOrder, { kind: 'join' }>, 'kind'>) {
    const file = fileURLToPath(new URL('./burdened_rank_process.js', import.meta.url));
    this.child = fork(file, { execArgv: ['--no-warnings'] });
    this.ended = once(this.child, 'exit').catch(() => undefined);
    this.tell({ kind: 'join', ...order });
  }

  /** How many times longer it takes from now on. */
  burden(factor: number): void {
    this.tell({ kind: 'burden', factor });
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.child.connected) this.child.disconnect();
    await this.ended;
  }

  private tell(order: BurdenOrder): void {
    if (this.child.connected) this.child.send(order);
  }
}
