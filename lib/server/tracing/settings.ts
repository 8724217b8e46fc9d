/** Whether anybody wants traces: OpenTelemetry's own variables. Pure. */

/** The process's environment. */
export type Env = Readonly<Record<string, string | undefined>>;

/** Where traces go. */
export interface TracingSettings {
  /** Of the collector, with its path. */
  readonly url: string;
  readonly serviceName: string;
}

/**
 * Null: nobody wants traces, and nothing of OpenTelemetry is to be loaded. Samplers, headers, limits of batches and more attributes of the service are read by
 * its SDK itself.
 * Why: docs/decisions/telemetry.md#traces-cost-nothing-where-nobody-wants-them
 */
export function tracingSettings(env: Env): TracingSettings | null {
  const of = (name: string): string => (env[name] ?? '').trim();
  const own = of('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const base = of('OTEL_EXPORTER_OTLP_ENDPOINT');
  const isOff = of('OTEL_SDK_DISABLED').toLowerCase() === 'true' || of('OTEL_TRACES_EXPORTER').toLowerCase() === 'none';
  if (isOff || (own === '' && base === '')) return null;
  const url = own !== '' ? own : `${base.replace(/\/$/, '')}/v1/traces`;
  return { url, serviceName: serviceNameOf(of('OTEL_SERVICE_NAME'), of('OTEL_RESOURCE_ATTRIBUTES')) };
}

/** The variable for it is stronger than the list of attributes. */
function serviceNameOf(name: string, attributes: string): string {
  if (name !== '') return name;
  const listed = /(?:^|,)\s*service\.name=([^,]+)/.exec(attributes)?.[1]?.trim();
  return listed ?? 'expertwire';
}
