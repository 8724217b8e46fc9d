/** Logits that a local engine's ranks sample from. */
import type { LocalEngine } from './local_engine.js';

/** Float32 bits by 'sequence:position', of every row that a rank asks its model for from now on. */
export function watchLogits({ executors, models }: LocalEngine): ReadonlyMap<string, Buffer> {
  const bits = new Map<string, Buffer>();
  for (const [rank, executor] of executors.entries()) {
    const model = models[rank]!;
    const run = executor.run.bind(executor);
    const forward = model.forward.bind(model);
    let names: string[] = [];
    executor.run = (plan, signal) => {
      names = plan.parts.flatMap(({ sequence, position, tokenIds }) =>
        tokenIds.map((_, i) => `${sequence}:${position + i}`),
      );
      return run(plan, signal);
    };
    model.forward = async (request) => {
      const result = await forward(request);
      const { states } = result;
      const logitsOf = states?.logits.bind(states);
      if (states !== null) {
        states.logits = async (rows) => {
          const logits = await logitsOf!(rows);
          for (const [i, row] of rows.entries()) bits.set(names[row]!, Buffer.from(logits[i]!.values().slice().buffer));
          return logits;
        };
      }
      return result;
    };
  }
  return bits;
}
