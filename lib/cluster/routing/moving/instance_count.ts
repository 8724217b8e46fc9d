/** Whether there are too few or too many instances. Pure. Why: docs/decisions/cluster.md#moves-one-number-says-who-gives-and-who-takes */
import type { InstanceView } from '../../base/instance_view.js';
import { freenessOf } from './freeness.js';
import { due, type Patience } from './patience.js';

/** One more, or this one drains and ends. `freeness`: the mean that asked for it, NaN: there is no instance. */
export type CountChange = { readonly freeness: number } & (
  { readonly kind: 'add' } | { readonly kind: 'remove'; readonly instance: string }
);

/** What is wanted. */
export type CountState = Patience<CountChange['kind']>;

/** When instances come and go; those of Llumnix are its defaults. */
export interface CountSettings {
  readonly min: number;
  readonly max: number;
  /** Mean free blocks per running request under which one more comes. Default 10. */
  readonly addBelow?: number;
  /** Over which one goes. Default 60. */
  readonly removeAbove?: number;
  /** So long something is wanted before it is done, and until the next. */
  readonly coolDownMs: number;
}

/** Called again and again, with the state that it gave before; of instances of one kind, the oldest first: the newest one goes. */
export function countChangeOf(
  views: readonly InstanceView[],
  before: CountState,
  nowMs: number,
  { min, max, addBelow = 10, removeAbove = 60, coolDownMs }: CountSettings,
): { readonly change: CountChange | null; readonly state: CountState } {
  const staying = views.filter(({ record, isHealthy }) => isHealthy && !record.isDraining);
  const numLeft = staying.length;
  const mean = staying.reduce((total, view) => total + roomOf(view), 0) / numLeft;
  const isShort = numLeft < min || (mean < addBelow && numLeft < max);
  const isIdle = mean > removeAbove && numLeft > min && roomWithoutNewest(staying) > addBelow;
  const wanted = isShort ? 'add' : isIdle ? 'remove' : null;
  const { isDue, after } = due(before, wanted, nowMs, coolDownMs);
  if (!isDue) return { change: null, state: after };
  if (wanted === 'add') return { change: { kind: 'add', freeness: mean }, state: after };
  return { change: { kind: 'remove', instance: staying.at(-1)!.record.id, freeness: mean }, state: after };
}

/** Of one that reported nothing yet: it has just begun, and has all its room. */
function roomOf({ load, record }: InstanceView): number {
  if (load === null) return record.numKvBlocks;
  const { numKvBlocks, numUsedBlocks, numRunning, requests } = load;
  return freenessOf({ numKvBlocks, numUsedBlocks, numRunning, requests, isDraining: false }, ['defragment']);
}

/** Of each request, when those of the newest went on in the others: the mean is high too where one is full and another empty. */
function roomWithoutNewest(views: readonly InstanceView[]): number {
  const sum = (of: (view: InstanceView) => number): number => views.reduce((total, view) => total + of(view), 0);
  const numUsed = sum(({ load }) => load?.numUsedBlocks ?? 0);
  const numRequests = sum(({ load }) => (load?.numRunning ?? 0) + (load?.numWaiting ?? 0));
  const numBlocks = sum(({ record }) => record.numKvBlocks) - views.at(-1)!.record.numKvBlocks;
  return (numBlocks - numUsed) / Math.max(numRequests, 1);
}
