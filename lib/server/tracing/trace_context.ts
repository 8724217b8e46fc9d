/** W3C trace context: which trace a client's request belongs to. Pure. */
import { createTraceState, isSpanContextValid, ROOT_CONTEXT, trace, type Context } from '@opentelemetry/api';
import type { Arrival } from '../telemetry/exchange.js';

/** Version 00; later ones begin alike. */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/;
/** What a client may make us pass on. */
const MAX_TRACESTATE_CHARS = 512;

/** The client's span, or the root where it sent none, or nonsense. */
export function contextOf({ traceparent, tracestate }: Pick<Arrival, 'traceparent' | 'tracestate'>): Context {
  const [, traceId = '', spanId = '', flags = ''] = TRACEPARENT.exec(traceparent?.trim() ?? '') ?? [];
  const parent = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
  if (!isSpanContextValid(parent)) return ROOT_CONTEXT;
  const isState = tracestate !== undefined && tracestate.length <= MAX_TRACESTATE_CHARS;
  return trace.setSpanContext(ROOT_CONTEXT, {
    ...parent,
    ...(isState && { traceState: createTraceState(tracestate) }),
  });
}
