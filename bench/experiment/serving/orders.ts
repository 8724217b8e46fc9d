/** What the process of a server is told by a run, and answers. */
import type { ExpertwireConfig } from '../../../lib/config/schema.js';
import type { Metrics } from '../../../lib/experiment/base/metric.js';
import type { LinkLimits } from '../../links/lane.js';
import type { Details } from '../base/details.js';
import type { KillOptions } from './kill_plan.js';

/** What is served, over which links. */
export interface StartOrder {
  readonly kind: 'start';
  readonly config: ExpertwireConfig;
  readonly limits: LinkLimits | null;
  /** Of its ranks. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * begin: what is measured begins now, and ranks are killed from now on. end: what it came to. forget: no prompt begins with what was computed before. One after the
 * other; `start` is the first.
 */
export type ServerOrder =
  StartOrder | { readonly kind: 'begin'; readonly kills: KillOptions | null } | { readonly kind: 'end' | 'forget' };

/** What a load did to the job. */
export interface ServerReport {
  /** Faults and costs, as `lib/experiment/measures/serve.ts` has their formulae. */
  readonly metrics: Metrics;
  readonly details: Details;
  readonly backend: string;
}

/** Answers of each order that went well. */
export interface ServerAnswers {
  readonly start: { readonly url: string; readonly startMs: number };
  readonly begin: Record<string, never>;
  readonly end: ServerReport;
  readonly forget: Record<string, never>;
}

/** As it comes over. */
export type ServerNews =
  | { readonly ok: ServerAnswers[ServerOrder['kind']] }
  | { readonly failed: { readonly name: string; readonly message: string } };
