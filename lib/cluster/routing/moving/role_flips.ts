/** Which instance gets another role, when prompts or what comes behind them have too few. Pure. Why: docs/decisions/cluster.md#roles-flip-slowly */
import type { InstanceView } from '../../base/instance_view.js';
import { due, type Patience } from './patience.js';

/** An instance that gets another role. */
export interface Flip {
  readonly instance: string;
  readonly to: 'prefill' | 'decode';
}

/** What is wanted of whom. */
export type FlipState = Patience<Flip['to']>;

/** How long prompts may wait where they are computed, on average. */
const PREFILL_HIGH_MS = 1000;
/** What must be left once one computes prompts no more. */
const PREFILL_LOW_MS = 500;
/** Of KV blocks that sequences hold or lack where they generate, on average. */
const DECODE_HIGH = 0.8;
const DECODE_LOW = 0.6;

/** Called again and again, with the state that it gave before. */
export function flipOf(
  views: readonly InstanceView[],
  before: FlipState,
  nowMs: number,
  coolDownMs: number,
): { readonly flip: Flip | null; readonly state: FlipState } {
  const able = views.filter(({ record, isHealthy }) => record.kind === 'own' && isHealthy && !record.isDraining);
  const prefill = able.filter(({ record }) => record.role === 'prefill');
  const decode = able.filter(({ record }) => record.role === 'decode');
  const to = wantedOf(prefill, decode);
  const { isDue, after } = due(before, to, nowMs, coolDownMs);
  if (!isDue || to === null) return { flip: null, state: after };
  const idlest = to === 'prefill' ? leastBy(decode, usedOf) : leastBy(prefill, waitOf);
  return { flip: { instance: idlest.record.id, to }, state: after };
}

/** One of each stays, and who gives must be able to spare one. */
function wantedOf(prefill: readonly InstanceView[], decode: readonly InstanceView[]): Flip['to'] | null {
  if (prefill.length === 0 || decode.length === 0) return null;
  const [wait, used] = [sum(prefill, waitOf), sum(decode, usedOf)];
  const perOne = { wait: wait / prefill.length, used: used / decode.length };
  const withoutOne = { wait: wait / (prefill.length - 1), used: used / (decode.length - 1) };
  if (perOne.wait > PREFILL_HIGH_MS && decode.length > 1 && withoutOne.used < DECODE_LOW) return 'prefill';
  if (perOne.used > DECODE_HIGH && prefill.length > 1 && withoutOne.wait < PREFILL_LOW_MS) return 'decode';
  return null;
}

/** Until all prompts there are computed, ms; 0 where nobody knows how fast it is. */
const waitOf = ({ numPrefillTokens, rates: { prefillTokensPerS } }: InstanceView): number =>
  prefillTokensPerS === null ? 0 : (1000 * numPrefillTokens) / prefillTokensPerS;

/** The share of its blocks that are held, or wanted by those that wait. */
function usedOf({ load, numActiveBlocks, record }: InstanceView): number {
  const lacked =
    load?.requests.filter(({ isRunning }) => !isRunning).reduce((a, { numBlocks }) => a + numBlocks, 0) ?? 0;
  return record.numKvBlocks === 0 ? 0 : (numActiveBlocks + lacked) / record.numKvBlocks;
}

const sum = (views: readonly InstanceView[], of: (view: InstanceView) => number): number =>
  views.reduce((total, view) => total + of(view), 0);

const leastBy = (views: readonly InstanceView[], of: (view: InstanceView) => number): InstanceView =>
  views.reduce((a, b) => (of(b) < of(a) ? b : a));
