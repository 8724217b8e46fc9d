/**
 * What two micro-batches in flight hide. Compute blocks the event loop, as tensor kernels do. Four timings of the same layers: bytes
 * alone, compute alone, one after the other, and both micro-batches started together.
 */
import type { AllToAll } from '../../comm/index.js';
import type { Timeline } from '../../lib/metrics/timeline.js';
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
    for (let i = 0; i < MICRO_BATCHES.length * plan.layers; i += 1) compute(plan.computeMs);
    return Promise.resolve();
  });
  await parts.barrier();
  await recorder.time('sequential', () => oneAfterAnother(parts, plan));
  await parts.barrier();
  await recorder.time('overlapped', () => together(parts, plan));
}

async function oneAfterAnother(parts: Parts, plan: Plan): Promise<void> {
  const step = plan.nextStep();
  for (let layer = 0; layer < plan.layers; layer += 1) {
    for (const microBatch of MICRO_BATCHES) await runLayer(parts, plan, { step, layer, microBatch, epoch: 0 });
  }
}

async function together(parts: Parts, plan: Plan): Promise<void> {
  const step = plan.nextStep();
  await Promise.all(
    MICRO_BATCHES.map(async (microBatch) => {
      for (let layer = 0; layer < plan.layers; layer += 1) {
        await runLayer(parts, plan, { step, layer, microBatch, epoch: 0 });
      }
    }),
  );
}

async function runLayer(
  { allToAll, batch }: Parts,
  { computeMs, timeline }: Plan,
  tag: { step: number; layer: number; microBatch: number; epoch: number },
): Promise<void> {
  const received = await allToAll.dispatch({ ...batch.request, tag });
  const startMs = performance.now();
  compute(computeMs);
  timeline?.onLap('experts', tag, startMs, performance.now());
  await allToAll.combine(received.recvX, received.handle);
}

/** Blocks this thread. */
function compute(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
