import type { Routing } from '../../compute/base/gate_spec.js';
import type { LogitRow } from '../model/decoder/logits.js';
import type { LookTable } from '../protocol/look.js';
import type { PlanPart, SequenceOutput, SequenceStart } from '../protocol/step_plan.js';
import { LogprobRows } from './sampling/logprob_rows.js';
import { sampleToken } from './sampling/sampler.js';

/** A sequence as its rank knows it. */
export interface SequenceState extends SequenceStart {
  /** Of all its tokens so far. */
  readonly blocks: number[];
  /** Prompt and output so far, the token too that was sampled last. */
  readonly tokenIds: number[];
}

/** What the experts of a step's tokens were, which tokens lost one, and what a part's looks saw. */
export interface StepRouting {
  readonly routings: readonly Routing[];
  readonly numTopk: number;
  /** Rows that lost at least one expert, ascending. */
  readonly degraded: readonly number[];
  readonly tables: readonly LookTable[];
}

/** What comes of one part of a step: takes the rows of logits that it asks for, one by one. */
export class PartOutput {
  /** Rows of the step whose logits it needs: of every token, or of the last, or none. */
  readonly rows: readonly number[];
  private readonly promptLogprobs: LogprobRows | null;
  private readonly logits: Float32Array[] = [];
  private sampled: Pick<SequenceOutput, 'logprobs'> & { readonly tokenId: number | null } = { tokenId: null };
  private numTaken = 0;

  /** `first`: the step's row of its first token. The sequence has the part's tokens already. */
  constructor(
    private readonly part: PlanPart,
    private readonly state: SequenceState,
    private readonly first: number,
  ) {
    const { promptLogprobs, logits } = state.wants;
    const { length: numTokens } = part.tokenIds;
    const isPromptAsked = part.isPrompt && !part.isReplay && promptLogprobs !== null;
    this.promptLogprobs = isPromptAsked ? new LogprobRows(promptLogprobs) : null;
    const isEvery = isPromptAsked || (!part.isReplay && logits);
    this.rows = isEvery ? range(first, numTokens) : part.sample ? [first + numTokens - 1] : [];
  }

  /** The logits of the next of its rows, which are read at once. @throws EngineError NOT_FINITE */
  take(row: LogitRow): void {
    const { part, state, promptLogprobs } = this;
    const index = this.numTaken++;
    const next = part.tokenIds[index + 1] ?? part.nextPromptToken;
    if (promptLogprobs !== null && next !== null) promptLogprobs.add(row, next);
    if (state.wants.logits) this.logits.push(row.values());
    if (part.sample && this.numTaken === this.rows.length) this.sample(row);
  }

  /** What it reports, once it has taken all its rows. */
  result(step: StepRouting): SequenceOutput {
    const { part, state, promptLogprobs, first } = this;
    const { length: numTokens } = part.tokenIds;
    const degraded = step.degraded.filter((row) => row >= first && row < first + numTokens);
    const { wants } = state;
    return {
      sequence: part.sequence,
      ...this.sampled,
      ...(wants.routedExperts && !part.isReplay && { routedExperts: routedExperts(step, first, numTokens) }),
      ...(promptLogprobs !== null && { promptLogprobs: promptLogprobs.table() }),
      ...(wants.logits && !part.isReplay && { logits: joined(this.logits) }),
      ...(step.tables.length > 0 && { tables: step.tables }),
      ...(degraded.length > 0 && { degraded: degraded.map((row) => row - first + part.position) }),
    };
  }

  private sample(row: LogitRow): void {
    const { logprobs } = this.state.wants;
    const tokenId = sampleToken(row, this.state);
    this.state.tokenIds.push(tokenId);
    if (logprobs === null) {
      this.sampled = { tokenId };
      return;
    }
    const rows = new LogprobRows(logprobs);
    rows.add(row, tokenId);
    this.sampled = { tokenId, logprobs: rows.table() };
  }
}

/** [n·L·K] of rows first … first + n − 1. */
function routedExperts({ routings, numTopk }: StepRouting, first: number, numTokens: number): Uint16Array {
  const experts = new Uint16Array(numTokens * routings.length * numTopk);
  let next = 0;
  for (let row = first; row < first + numTokens; row++) {
    for (const { topkIdx } of routings) {
      experts.set(topkIdx.subarray(row * numTopk, (row + 1) * numTopk), next);
      next += numTopk;
    }
  }
  return experts;
}

/** [rows·V] */
function joined(rows: readonly Float32Array[]): Float32Array {
  const values = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  let next = 0;
  for (const row of rows) {
    values.set(row, next);
    next += row.length;
  }
  return values;
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
