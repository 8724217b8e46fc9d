/** What steps came to: how long, how many tokens, which phases. */
import type { Histogram } from 'prom-client';
import { STEP_PHASES } from '../../../compute/base/stopwatch.js';
import type { EngineStats } from '../../head/engine.js';
import type { ObservedStep } from '../../head/observing/step_observer.js';
import { STEP_SECONDS, STEP_TOKENS } from './buckets.js';
import type { SeriesMaker, Total } from './series.js';

/** Counts each step; the sums come from the engine's statistics. */
export class StepMetrics {
  private readonly tokens: Histogram;
  private readonly seconds: Histogram;
  private readonly steps: Total;
  private readonly computed: Total;
  private readonly degraded: Total;
  private readonly skipped: Total;
  private readonly phases: Total<'rank' | 'phase'>;

  constructor(make: SeriesMaker) {
    this.tokens = make.histogram('vllm:iteration_tokens_total', 'Tokens computed in one step.', STEP_TOKENS);
    this.seconds = make.histogram('expertwire:step_seconds', 'How long one step took, in seconds.', STEP_SECONDS);
    this.steps = make.total('expertwire:steps_total', 'Steps that every rank finished.');
    this.computed = make.total(
      'expertwire:prompt_tokens_computed_total',
      'Tokens of prompts that were computed, once each: without what the prefix cache held.',
    );
    this.degraded = make.total(
      'expertwire:degraded_tokens_total',
      'Tokens that lost one of their experts, because no rank that holds it was left.',
    );
    this.skipped = make.total(
      'expertwire:skipped_choices_total',
      'Choices of experts that weighed too little to be computed (experts.skip_threshold).',
    );
    this.phases = make.total(
      'expertwire:step_phase_seconds_total',
      'Time in each phase of the steps of a rank, in seconds.',
      ...(['rank', 'phase'] as const),
    );
  }

  /** Counts a step. */
  step({ numTokens, stepMs }: ObservedStep): void {
    this.tokens.observe(numTokens);
    this.seconds.observe(stepMs / 1000);
  }

  /** Takes over what the engine counted. */
  update({ numSteps, numPromptTokens, numDegradedTokens, numSkippedChoices, rankPhasesMs }: EngineStats): void {
    this.steps.set(numSteps);
    this.computed.set(numPromptTokens);
    this.degraded.set(numDegradedTokens);
    this.skipped.set(numSkippedChoices);
    this.phases.setAll(
      rankPhasesMs.flatMap((phasesMs, rank) =>
        STEP_PHASES.map((phase) => [{ rank, phase }, phasesMs[phase] / 1000] as const),
      ),
    );
  }
}
