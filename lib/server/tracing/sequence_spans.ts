/** The spans of one sequence: `llm_request`, and within it `queue`, `prefill` and `decode` one after the other, and steps within these. */
import { SpanStatusCode, trace, type Attributes, type Context, type Span, type Tracer } from '@opentelemetry/api';
import { CodedError } from '../../../base/coded_error.js';
import { STEP_PHASES, type StepPhase } from '../../../compute/base/stopwatch.js';
import { secondsBetween, type RequestTrack, type TrackEnd } from '../telemetry/request_track.js';

/** Steps of one `prefill` or `decode` that have a span of their own; later ones are only summed up. */
export const MAX_STEP_SPANS = 32;

/** What a sequence does at a time. */
type Stage = 'queue' | 'prefill' | 'decode';

/** One step, as far as a sequence is concerned. Times are milliseconds of `performance.now`. */
export interface SequenceStep {
  readonly step: number;
  readonly startMs: number;
  readonly endMs: number;
  /** Of this sequence, and of all. */
  readonly numTokens: number;
  readonly numBatchedTokens: number;
  /** Of the sequence's rank. */
  readonly phasesMs: Readonly<Record<StepPhase, number>>;
}

interface OpenStage {
  readonly kind: Stage;
  readonly span: Span;
  readonly context: Context;
  readonly phasesMs: Record<StepPhase, number>;
  numSteps: number;
}

/** Begins and ends them as the sequence goes on. */
export class SequenceSpans {
  private readonly span: Span;
  private readonly context: Context;
  private stage: OpenStage;

  /** @param parent of the HTTP request, or the root */
  constructor(
    private readonly tracer: Tracer,
    parent: Context,
    private readonly track: RequestTrack,
    modelName: string,
  ) {
    const { id, sequence, queuedMs, maxNewTokens } = track;
    const attributes = {
      'gen_ai.provider.name': 'expertwire',
      'gen_ai.request.model': modelName,
      'gen_ai.response.model': modelName,
      'gen_ai.request.max_tokens': maxNewTokens,
      'expertwire.sequence': sequence,
      ...(id !== null && { 'gen_ai.request.id': id }),
    };
    this.span = tracer.startSpan('llm_request', { startTime: queuedMs, attributes }, parent);
    this.context = trace.setSpan(parent, this.span);
    this.stage = this.begin('queue', queuedMs);
  }

  /** Whether anybody will see it: a sampler may not want it. */
  get isRecording(): boolean {
    return this.span.isRecording();
  }

  /** It runs: its prompt, and what it had generated before it gave way, are computed. */
  admitted(nowMs: number): void {
    this.goOn('prefill', nowMs, { 'expertwire.rank': this.track.rank ?? -1 });
  }

  /** It gave way. */
  preempted(nowMs: number): void {
    this.span.addEvent('preempted', nowMs);
    this.goOn('queue', nowMs);
  }

  /** It has one more token. */
  token(nowMs: number): void {
    if (this.stage.kind !== 'decode') this.goOn('decode', nowMs);
  }

  /** A step computed some of its tokens. */
  step({ step, startMs, endMs, numTokens, numBatchedTokens, phasesMs }: SequenceStep): void {
    const { stage } = this;
    stage.numSteps++;
    for (const phase of STEP_PHASES) stage.phasesMs[phase] += phasesMs[phase];
    if (stage.numSteps > MAX_STEP_SPANS) return;
    const attributes = {
      'expertwire.step': step,
      'expertwire.step.tokens': numTokens,
      'expertwire.step.batched_tokens': numBatchedTokens,
      ...phaseAttributes(phasesMs),
    };
    this.tracer.startSpan('step', { startTime: startMs, attributes }, stage.context).end(endMs);
  }

  /** It is over. */
  ended(end: TrackEnd, error: Error | null): void {
    const endedMs = this.track.endedMs!;
    this.close(endedMs);
    this.span.setAttributes({ ...usageOf(this.track), 'gen_ai.response.finish_reasons': [end] });
    if (end === 'error') {
      const code = error instanceof CodedError ? String(error.code) : 'error';
      this.span.setAttribute('error.type', code);
      this.span.setStatus({ code: SpanStatusCode.ERROR, message: code }); // a message may quote what was said
    }
    this.span.end(endedMs);
  }

  private goOn(kind: Stage, nowMs: number, attributes: Attributes = {}): void {
    this.close(nowMs);
    this.stage = this.begin(kind, nowMs, attributes);
  }

  private begin(kind: Stage, startTime: number, attributes: Attributes = {}): OpenStage {
    const span = this.tracer.startSpan(kind, { startTime, attributes }, this.context);
    const phasesMs = Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0])) as Record<StepPhase, number>;
    return { kind, span, context: trace.setSpan(this.context, span), phasesMs, numSteps: 0 };
  }

  private close(nowMs: number): void {
    const { span, numSteps, phasesMs } = this.stage;
    if (numSteps > 0) span.setAttributes({ 'expertwire.steps': numSteps, ...phaseAttributes(phasesMs) });
    span.end(nowMs);
  }
}

const phaseAttributes = (phasesMs: Readonly<Record<StepPhase, number>>): Attributes =>
  Object.fromEntries(STEP_PHASES.map((phase) => [`expertwire.phase.${phase}_ms`, phasesMs[phase]]));

/** OpenTelemetry's names, and vLLM's where it has others. */
function usageOf(track: RequestTrack): Attributes {
  const { numPromptTokens, numOutputTokens, queuedMs, admittedMs, firstTokenMs, lastTokenMs, endedMs } = track;
  const times = {
    'gen_ai.latency.time_in_queue': secondsBetween(queuedMs, admittedMs),
    'gen_ai.latency.time_to_first_token': secondsBetween(queuedMs, firstTokenMs),
    'gen_ai.latency.time_in_model_prefill': secondsBetween(admittedMs, firstTokenMs),
    'gen_ai.latency.time_in_model_decode': secondsBetween(firstTokenMs, lastTokenMs),
    'gen_ai.latency.time_in_model_inference': secondsBetween(admittedMs, lastTokenMs),
    'gen_ai.latency.e2e': secondsBetween(queuedMs, endedMs),
  };
  return {
    'gen_ai.usage.input_tokens': numPromptTokens,
    'gen_ai.usage.output_tokens': numOutputTokens,
    'gen_ai.usage.prompt_tokens': numPromptTokens,
    'gen_ai.usage.completion_tokens': numOutputTokens,
    'gen_ai.usage.cached_tokens': track.numCachedTokens,
    ...Object.fromEntries(Object.entries(times).filter(([, seconds]) => seconds !== null)),
  };
}
