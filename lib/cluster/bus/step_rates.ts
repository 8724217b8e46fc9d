/** How quickly an instance computes, as its last steps say. */
import type { ObservedStep } from '../../head/observing/step_observer.js';
import type { LoadReport } from '../base/load_report.js';

/** What each further step leaves of those before: a dozen steps count. */
const DECAY = 0.92;

/** Follows steps. */
export class StepRates {
  private promptTokens = 0;
  private promptMs = 0;
  private numGenerating = 0;
  private generatingMs = 0;

  /** A step that counts. */
  step({ plans, stepMs }: Pick<ObservedStep, 'plans' | 'stepMs'>): void {
    let numPromptTokens = 0;
    let isGenerating = false;
    for (const { parts } of plans) {
      for (const { isPrompt, tokenIds } of parts) {
        if (isPrompt) numPromptTokens += tokenIds.length;
        else isGenerating = true;
      }
    }
    if (numPromptTokens > 0) {
      this.promptTokens = DECAY * this.promptTokens + numPromptTokens;
      this.promptMs = DECAY * this.promptMs + stepMs;
    }
    if (!isGenerating) return;
    this.numGenerating = DECAY * this.numGenerating + 1;
    this.generatingMs = DECAY * this.generatingMs + stepMs;
  }

  /** Null: no such step ran. */
  get rates(): Pick<LoadReport, 'prefillTokensPerS' | 'tbtMs'> {
    const { promptTokens, promptMs, numGenerating, generatingMs } = this;
    return {
      prefillTokensPerS: promptMs > 0 ? rounded((1000 * promptTokens) / promptMs) : null,
      tbtMs: numGenerating > 0 ? rounded(generatingMs / numGenerating) : null,
    };
  }
}

/** Three digits say enough, and reports that say the same aren't sent. */
const rounded = (value: number): number => Number(value.toPrecision(3));
