/** Which work is done how. */
import type { TaskWork } from '../base/task.js';
import type { TryContext, TryResult } from './execution.js';
import { rebalance } from './rebalance.js';
import { runBatch } from './run_batch.js';
import { runCommand } from './run_command.js';
import { runMeasure } from './run_measure.js';

/** Does it. @throws JobError, MeasureFailure; the signal's reason */
export async function execute(work: TaskWork, context: TryContext): Promise<TryResult> {
  switch (work.kind) {
    case 'measure':
      return runMeasure(work, context);
    case 'command':
      return runCommand(work, context);
    case 'rebalance':
      return rebalance(work, context);
    case 'batch':
      return runBatch(work, context);
  }
}
