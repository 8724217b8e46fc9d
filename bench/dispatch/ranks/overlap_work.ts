/**
 * What two micro-batches in flight hide. Compute, half of it attention and half experts, blocks the event loop, as tensor kernels do. Four timings of
 * the same layers: bytes alone, compute alone, one micro-batch after the other, and both in turns.
 */
import type { AllToAll, DispatchResult, Pending, StepTag } from '../../../comm/index.js';
import type { Timeline } from '../../../lib/metrics/timeline.js';
import type { Recorder } from './recorder.js';
import type { TokenBatch } from './token_batch.js';

interface Parts {
  readonly allToAll: AllToAll;
  readonly batch: TokenBatch;
  readonly barrier: () => Promise<void>;
}

interface Plan {
  readonly layers: number;
  /** Of one micro-batch in one layer. */
  readonly computeMs: number;
  readonly nextStep: () => number;
  /** Told of compute. */
  readonly timeline: Timeline | undefined;
}

const MICRO_BATCHES = [0, 1] as const;

/** One repeat of each timing: `comm`, `compute`, `sequential`, `overlapped`. */
export async function timeOverlap(parts: Parts, plan: Plan, recorder: Recorder): Promise<void> {
  await parts.barrier();
  await recorder.time('comm', () => oneAfterAnother(parts, { ...plan, computeMs: 0 }));
  await parts.barrier();
  await recorder.time('compute', () => {
    const step = plan.nextStep();
    for (let layer = 0; layer < plan.layers; layer++) {
      for (const microBatch of MICRO_BATCHES) {
        for (const what of ['attention', 'experts'] as const)
          compute(what, plan, { step, layer, microBatch, epoch: 0 });
      }
    }
    return Promise.resolve();
  });
  await parts.barrier();
  await recorder.time('sequential', () => oneAfterAnother(parts, plan));
  await parts.barrier();
  await recorder.time('overlapped', () => together(parts, plan));
}

/** Attention, dispatch, experts, combine: each waits for the one before. */
async function oneAfterAnother({ allToAll, batch }: Parts, plan: Plan): Promise<void> {
  const step = plan.nextStep();
  for (let layer = 0; layer < plan.layers; layer++) {
    for (const microBatch of MICRO_BATCHES) {
      const tag = { step, layer, microBatch, epoch: 0 };
      compute('attention', plan, tag);
      const received = await allToAll.dispatch({ ...batch.request, tag });
      compute('experts', plan, tag);
      await allToAll.combine(received.recvX, received.handle);
    }
  }
}

/** The same, but rows of one micro-batch travel while the other one computes: DeepSeek's two-batch overlap. */
async function together({ allToAll, batch }: Parts, plan: Plan): Promise<void> {
  const step = plan.nextStep();
  let combining: readonly Pending<Float32Array>[] = [];
  for (let layer = 0; layer < plan.layers; layer++) {
    const dispatching: Pending<DispatchResult>[] = [];
    for (const microBatch of MICRO_BATCHES) {
      await combining[microBatch]?.hook();
      const tag = { step, layer, microBatch, epoch: 0 };
      compute('attention', plan, tag);
      dispatching.push(allToAll.startDispatch({ ...batch.request, tag }));
    }
    const next: Pending<Float32Array>[] = [];
    for (const [microBatch, pending] of dispatching.entries()) {
      const received = await pending.hook();
      compute('experts', plan, { step, layer, microBatch, epoch: 0 });
      next.push(allToAll.startCombine(received.recvX, received.handle));
    }
    combining = next;
  }
  for (const pending of combining) await pending.hook();
}

/** Blocks this thread for half of what a micro-batch computes in a layer. */
function compute(what: 'attention' | 'experts', { computeMs, timeline }: Plan, tag: StepTag): void {
  const startMs = performance.now();
  const end = startMs + computeMs / 2;
  while (performance.now() < end);
  timeline?.onLap(what, tag, startMs, end);
}
