/** OpenTelemetry's SDK, with a provider of this server's own: nothing global. Loaded only where somebody wants traces. */
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import type { Logger } from 'pino';
import { VERSION } from '../../config/package_files.js';
import { ADVICE, LoudExporter } from './loud_exporter.js';
import type { TracingSettings } from './settings.js';
import { Spans } from './spans.js';

/** Who gets spans, and what they are called. */
export interface OpenSpansOptions extends TracingSettings {
  readonly modelName: string;
  readonly log: Logger;
}

/** What is left of spans is sent for so long when the server ends; a collector that is gone holds nothing up. */
const CLOSE_TIMEOUT_MS = 3000;

/** Spans that go to the collector at `url` by OTLP over HTTP. */
export function openSpans({ url, serviceName, modelName, log }: OpenSpansOptions): Spans {
  const own = resourceFromAttributes({ 'service.name': serviceName, 'service.version': VERSION });
  const processor = new BatchSpanProcessor(new LoudExporter(new OTLPTraceExporter({ url }), log));
  const provider = new NodeTracerProvider({
    resource: detectResources({ detectors: [envDetector] }).merge(own),
    spanProcessors: [processor],
  });
  let closing: Promise<void> | null = null;
  return new Spans({
    tracer: provider.getTracer('expertwire', VERSION),
    modelName,
    clock: () => performance.now(),
    close: () => (closing ??= inTime(provider.shutdown(), log)),
  });
}

async function inTime(work: Promise<void>, log: Logger): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), CLOSE_TIMEOUT_MS)));
  // The exporter told of what failed.
  const outcome = await Promise.race([work.catch(() => undefined), late]);
  clearTimeout(timer);
  if (outcome === 'late') log.warn(`spans were not sent within ${CLOSE_TIMEOUT_MS} ms, and are lost; ${ADVICE}`);
}
