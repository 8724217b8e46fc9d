/** One instance as the router deals with it: how to ask it, how it fares, and what is under way there. */
import type { InstanceRecord } from '../../base/instance_record.js';
import {
  afterEvent,
  CLOSED,
  isClosed,
  isDead,
  type Circuit,
  type CircuitEvent,
  type CircuitLimits,
} from './circuit.js';
import { UpstreamClient, type ClientLimits, type UpstreamAnswer, type UpstreamRequest } from './upstream_client.js';
import { UpstreamError } from './upstream_error.js';

/** What all instances have in common. */
export interface UpstreamSettings {
  readonly limits: ClientLimits;
  readonly circuit: CircuitLimits;
  readonly probeTimeoutMs: number;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** Told when it is asked from now on, or no longer. */
  readonly healthChanged: (id: string, isHealthy: boolean) => void;
}

/** An answer of a few bytes. */
export interface ShortAnswer {
  readonly status: number;
  readonly text: string;
}

/** The server itself failed; with 503 it takes nothing now, which its health says too, and with 501 it never does such a thing. */
const isFailure = (status: number): boolean => status >= 500 && status !== 501 && status !== 503;

/** Of answers that are read whole here. */
const MAX_SHORT_BYTES = 2 ** 20;

/** An instance, from its start to its end. */
export class Upstream {
  private readonly client: UpstreamClient;
  private readonly running = new Set<AbortController>();
  private circuit: Circuit = CLOSED;
  private isRetired = false;
  private isProbing = false;

  constructor(
    public record: InstanceRecord,
    private readonly settings: UpstreamSettings,
  ) {
    this.client = new UpstreamClient(record.url, settings.limits);
  }

  get id(): string {
    return this.record.id;
  }

  /** It answers, as far as one knows. */
  get isHealthy(): boolean {
    return isClosed(this.circuit);
  }

  /** Requests that are under way there. */
  get numRunning(): number {
    return this.running.size;
  }

  /**
   * Sends a request. It is broken off by its controller, and with UpstreamError UNHEALTHY where the instance answers no probes any more.
   * @throws UpstreamError, and the reason of the controller
   */
  async ask(request: UpstreamRequest, controller: AbortController): Promise<UpstreamAnswer> {
    this.running.add(controller);
    try {
      const answer = await this.client.ask(request, controller.signal);
      this.see(isFailure(answer.status) ? 'failed' : 'answered');
      void answer.ended.then((error) => this.done(controller, error));
      return answer;
    } catch (error) {
      this.done(controller, error);
      throw error;
    }
  }

  /** Asks for something short, within a time. @throws UpstreamError */
  async askShort(request: UpstreamRequest, timeoutMs: number): Promise<ShortAnswer> {
    const controller = new AbortController();
    const late = new UpstreamError('TIMEOUT', `${this.record.url}: no answer within ${timeoutMs} ms`);
    const timer = setTimeout(() => controller.abort(late), timeoutMs);
    try {
      return await shortOf(await this.client.ask(request, controller.signal));
    } finally {
      clearTimeout(timer);
      controller.abort();
    }
  }

  /** Asks how it is. What comes of it decides whether it is asked, and whether what runs there is given up. */
  async probe(): Promise<void> {
    if (this.isProbing) return;
    this.isProbing = true;
    try {
      this.see((await this.isWell()) ? 'probe_answered' : 'probe_refused');
    } catch {
      this.see('probe_silent');
    }
    this.isProbing = false;
    if (!isDead(this.circuit, this.settings.circuit)) return;
    for (const controller of this.running) {
      controller.abort(new UpstreamError('UNHEALTHY', `instance ${this.id} answers no health checks any more`));
    }
  }

  /** Nothing new goes there; what runs is left to end. Idempotent. */
  retire(): void {
    this.isRetired = true;
    if (this.running.size === 0) void this.close();
  }

  /** Breaks off what runs. Idempotent. */
  close(): Promise<void> {
    return this.client.close();
  }

  private async isWell(): Promise<boolean> {
    const { probeTimeoutMs } = this.settings;
    const { status } = await this.askShort(HEALTH, probeTimeoutMs);
    if (status === 503 && this.record.isDraining) return true; // and gives its requests away
    if (status === 401 || status === 403) return true; // it wants a key for everything, and lives
    if (status !== 404 && status !== 405) return status < 300;
    return (await this.askShort(MODELS, probeTimeoutMs)).status < 500; // it may want a key
  }

  private done(controller: AbortController, error: unknown): void {
    this.running.delete(controller);
    if (error instanceof UpstreamError && !controller.signal.aborted) this.see('failed');
    if (this.isRetired && this.running.size === 0) void this.close();
  }

  private see(event: CircuitEvent): void {
    const before = this.isHealthy;
    this.circuit = afterEvent(this.circuit, event, this.settings.clock(), this.settings.circuit);
    if (this.isHealthy !== before && !this.isRetired) this.settings.healthChanged(this.id, this.isHealthy);
  }
}

const HEALTH: UpstreamRequest = { method: 'GET', path: '/health', headers: {}, body: null };
/** What servers have that don't know the other. */
const MODELS: UpstreamRequest = { ...HEALTH, path: '/v1/models' };

async function shortOf(answer: UpstreamAnswer): Promise<ShortAnswer> {
  const chunks: Buffer[] = [];
  let numBytes = 0;
  for (let chunk = await answer.read(); chunk !== null; chunk = await answer.read()) {
    chunks.push(chunk);
    numBytes += chunk.length;
    if (numBytes > MAX_SHORT_BYTES)
      throw new UpstreamError('NOT_HTTP', `an answer has more than ${MAX_SHORT_BYTES} bytes`);
  }
  return { status: answer.status, text: Buffer.concat(chunks).toString() };
}
