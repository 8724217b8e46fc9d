/** All instances that a router knows, probed again and again. */
import type { InstanceRecord } from '../../base/instance_record.js';
import { Upstream, type UpstreamSettings } from './upstream.js';

/** By their ids. */
export class Upstreams {
  private readonly known = new Map<string, Upstream>();
  /** Gone or started anew, with something under way there. */
  private readonly retired = new Set<Upstream>();
  private readonly timer: NodeJS.Timeout;

  /** @param probeIntervalMs between two probes of one instance */
  constructor(
    private readonly settings: UpstreamSettings,
    probeIntervalMs: number,
  ) {
    this.timer = setInterval(() => this.probe(), probeIntervalMs);
  }

  /** Undefined: nobody of that name is there. */
  get(id: string): Upstream | undefined {
    return this.known.get(id);
  }

  /** An instance is there, or tells something new of itself. */
  set(record: InstanceRecord): Upstream {
    const before = this.known.get(record.id);
    if (before?.record.incarnation === record.incarnation && before.record.url === record.url) {
      const hasChanged = before.record.isDraining !== record.isDraining;
      before.record = record;
      if (hasChanged) void before.probe(); // it answers otherwise now
      return before;
    }
    this.remove(record.id);
    const upstream = new Upstream(record, this.settings);
    this.known.set(record.id, upstream);
    return upstream;
  }

  /** It is gone; what runs there may end. */
  remove(id: string): void {
    const upstream = this.known.get(id);
    if (upstream === undefined) return;
    this.known.delete(id);
    upstream.retire();
    if (upstream.numRunning > 0) this.retired.add(upstream);
  }

  /** Breaks off what runs. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all([...this.known.values(), ...this.retired].map((upstream) => upstream.close()));
  }

  private probe(): void {
    for (const upstream of this.retired) if (upstream.numRunning === 0) this.retired.delete(upstream);
    for (const upstream of [...this.known.values(), ...this.retired]) void upstream.probe();
  }
}
