/** Instances that are no processes: a test says when they serve, what they say and how they end. */
import type { InstanceExit, StartedInstance } from '../../../lib/cluster/start/instance_process.js';
import type { InstanceNews } from '../../../lib/cluster/start/instance_news.js';

/** One start of one instance. */
export class PlayedProcess implements StartedInstance {
  readonly signals: NodeJS.Signals[] = [];
  readonly listening: Promise<InstanceNews | null>;
  readonly exit: Promise<InstanceExit>;
  private tellNews!: (news: InstanceNews | null) => void;
  private tellExit!: (exit: InstanceExit) => void;

  constructor(
    readonly name: string,
    readonly pid: number,
    readonly says: (line: string) => void,
    private readonly isStubborn = false,
  ) {
    this.listening = new Promise((resolve) => (this.tellNews = resolve));
    this.exit = new Promise((resolve) => (this.tellExit = resolve));
  }

  serves(): void {
    this.tellNews({ kind: 'listening', url: `http://127.0.0.1:${this.pid}`, model: 'm', hasTokenizer: true });
  }

  ends(code: number | null, signal: NodeJS.Signals | null = null): void {
    this.tellNews(null);
    this.tellExit({ pid: this.pid, code, signal });
  }

  kill(signal: NodeJS.Signals): void {
    this.signals.push(signal);
    if (signal === 'SIGKILL' || !this.isStubborn) this.ends(null, signal);
  }
}
