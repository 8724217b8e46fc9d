/** Says that spans don't arrive: OpenTelemetry's SDK loses them without a word. */
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node';
import type { Logger } from 'pino';
import { causeText } from '../../../base/foreign_text.js';

/** A collector that is gone would otherwise have a line every few seconds. */
const QUIET_MS = 60_000;

/** To whom spans don't get through. */
export const ADVICE = 'look at OTEL_EXPORTER_OTLP_ENDPOINT, or unset it';

/** Passes spans on to `inner`. */
export class LoudExporter implements SpanExporter {
  private toldMs = -Infinity;

  constructor(
    private readonly inner: SpanExporter,
    private readonly log: Pick<Logger, 'warn'>,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Sends spans, and warns when that fails: once a minute at most. */
  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.inner.export(spans, (result) => {
      if (result.error !== undefined) this.tell(result.error, spans.length);
      done(result);
    });
  }

  /** Sends what is on its way. */
  async forceFlush(): Promise<void> {
    await this.inner.forceFlush?.();
  }

  /** Ends its connections. */
  shutdown(): Promise<void> {
    return this.inner.shutdown();
  }

  private tell(error: Error, numSpans: number): void {
    if (this.clock() - this.toldMs < QUIET_MS) return;
    this.toldMs = this.clock();
    this.log.warn({ spans: numSpans, reason: causeText(error) }, `traces don't reach their collector; ${ADVICE}`);
  }
}
