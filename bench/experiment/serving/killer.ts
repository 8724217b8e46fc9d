/** Kills ranks of a job while it serves, as a plan says, and starts others. */
import { setTimeout as delay } from 'node:timers/promises';
import { inflict, type Inflicted } from '../../chaos/inflict.js';
import type { Fault } from '../../chaos/plan/fault.js';
import type { Site } from '../../chaos/site.js';
import type { PlannedFault } from './kill_plan.js';

/** From now on. */
export class Killer {
  /** Kills that came, in their order. */
  readonly kills: Inflicted[] = [];
  private readonly over = new AbortController();
  private readonly running: Promise<void>;

  /** @param noticeMs how long the loss of a rank may take to be noticed */
  constructor(
    private readonly site: Site,
    plan: Iterable<PlannedFault>,
    private readonly noticeMs: number,
    private readonly onNotice: (line: string) => void,
  ) {
    this.running = this.run(plan, performance.now());
  }

  /** Nothing befalls the job any more. */
  async stop(): Promise<void> {
    this.over.abort();
    await this.running;
  }

  private async run(plan: Iterable<PlannedFault>, fromMs: number): Promise<void> {
    const { signal } = this.over;
    for (const { atMs, kind, draw } of plan) {
      const leftMs = fromMs + atMs - performance.now();
      if (leftMs > 0) await delay(leftMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted || this.site.engine.failure !== null) return;
      const fault: Fault = { kind, when: 'apart', gapTokens: 0, ms: 0, draws: [draw, 0] };
      const inflicted = inflict(fault, this.site, this.noticeMs, signal);
      const who = inflicted.victims?.join() ?? '';
      if (kind === 'kill' && inflicted.victims !== null) this.kills.push(inflicted);
      const what = `${(atMs / 1000).toFixed(1)} s: ${kind} ${who}`.trimEnd();
      this.onNotice(what);
      void inflicted.over.then((note) => {
        if (note !== null && !signal.aborted) this.onNotice(`${what}: ${note}`);
      });
    }
  }
}
