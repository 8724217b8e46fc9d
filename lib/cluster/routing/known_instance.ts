/** What a router knows of one instance. */
import type { InstanceRecord } from '../base/instance_record.js';
import type { InstanceView } from '../base/instance_view.js';
import type { LoadReport } from '../base/load_report.js';
import { BlocksInFlight } from './blocks_in_flight.js';
import { Speeds } from './speeds.js';

/** What this router sent to an instance and isn't over. */
export interface SentLoad {
  numRequests: number;
  /** Of requests without a first token. */
  numPrefillTokens: number;
  /** KV blocks of prompts that requests share count once. */
  numActiveBlocks: number;
}

/** Filled by reports, and by requests that come and go. */
export class KnownInstance {
  isHealthy = true;
  lastRouted = -1;
  numHeavy = 0;
  numLight = 0;
  numRequests = 0;
  numPrefillTokens = 0;
  /** Of outputs, and of ends of prompts that fill no block. */
  numOtherBlocks = 0;
  readonly prompts = new BlocksInFlight();
  readonly speeds = new Speeds();
  private load: LoadReport | null = null;
  /** What this router had sent when that report came. */
  private before: SentLoad = { numRequests: 0, numPrefillTokens: 0, numActiveBlocks: 0 };

  constructor(public record: InstanceRecord) {}

  /** Late ones, and those of other incarnations, are dropped. */
  report(load: LoadReport): void {
    if (load.incarnation !== this.record.incarnation) return;
    if (this.load !== null && load.sequence <= this.load.sequence) return;
    this.load = load;
    this.before = this.sent;
    this.speeds.reported(load);
  }

  /** As it is now. */
  get view(): InstanceView {
    const { record, isHealthy, numHeavy, numLight, lastRouted, load } = this;
    const now = this.now;
    const rates = this.speeds.rates(load?.numRunning ?? now.numRequests);
    return { record, isHealthy, numHeavy, numLight, lastRouted, rates, load, ...now };
  }

  private get sent(): SentLoad {
    const { numRequests, numPrefillTokens, numOtherBlocks, prompts } = this;
    return { numRequests, numPrefillTokens, numActiveBlocks: prompts.size + numOtherBlocks };
  }

  /**
   * The report, and what changed since by this router's own doing; never less than what it sent itself.
   * Why: docs/decisions/cluster.md#load-is-what-was-reported-and-what-was-sent-since
   */
  private get now(): SentLoad {
    const { load, before, sent } = this;
    if (load === null) return sent;
    const at = (key: keyof SentLoad, reported: number): number =>
      Math.max(sent[key], reported + sent[key] - before[key]);
    return {
      numRequests: at('numRequests', load.numWaiting + load.numRunning),
      numPrefillTokens: at('numPrefillTokens', load.numPrefillTokens),
      numActiveBlocks: at('numActiveBlocks', load.numUsedBlocks),
    };
  }
}
