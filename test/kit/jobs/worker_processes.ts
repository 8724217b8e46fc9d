/** Processes with workers, which a test kills, stops, and cuts off at moments of its choice. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Told } from './told.js';

/** Of a shard, in their order. */
export const MOMENTS = [
  'taken',
  'read',
  'begun',
  'worked',
  'files kept',
  'before commit',
  'committed',
  'acknowledged',
] as const;

/** One of them. */
export type Moment = (typeof MOMENTS)[number];

/** What a process is told at its start. */
export interface WorkerOrder {
  readonly url: string;
  readonly id: string;
  /** Where it waits, once. */
  readonly stopAt: Moment | null;
  readonly silenceMs: number;
  /** How long a shard takes. */
  readonly workMs: number;
  readonly leads: boolean;
  readonly scratch: string;
}

/** What it says; `over`: a shard is out of its hands. */
export type WorkerNews =
  | { readonly kind: 'works' }
  | { readonly kind: 'at'; readonly moment: Moment }
  | { readonly kind: 'over' }
  | { readonly kind: 'log'; readonly text: string };

const PROGRAM = fileURLToPath(new URL('./worker_process.js', import.meta.url));

/** One process. */
export class WorkerProcess {
  readonly told = new Told<string>();
  private readonly child: ChildProcess;

  constructor(order: WorkerOrder) {
    this.child = fork(PROGRAM, [JSON.stringify(order)], { execArgv: ['--no-warnings'] });
    this.child.on('message', (news: WorkerNews) => {
      this.told.tell(news.kind === 'at' ? `at ${news.moment}` : news.kind === 'log' ? news.text : news.kind);
    });
  }

  goOn(): void {
    if (this.child.connected) this.child.send('go on');
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(signal);
  }

  /** Idempotent. */
  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}
