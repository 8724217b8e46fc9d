/** Whether ranks that loaded, each on a backend of its own, can work together, and what their user should know. Pure. */
import { EngineError } from './errors.js';
import type { LoadReport } from './step_plan.js';

/**
 * Experts move from rank to rank as bytes of one type.
 * @throws EngineError RANKS_DIFFER: two ranks keep the weights of experts as different types
 */
export function checkReports(reports: readonly Pick<LoadReport, 'backend' | 'residence'>[]): void {
  const [first] = reports;
  const other = reports.findIndex(({ residence }) => residence.experts !== first!.residence.experts);
  if (other === -1) return;
  const textOf = (rank: number): string => {
    const { backend, residence } = reports[rank]!;
    return `${residence.experts} on rank ${rank} (${backend} ${residence.compute})`;
  };
  const message = `experts are ${textOf(0)} and ${textOf(other)}; set experts.resident to f32 or bf16, which every backend has`;
  throw new EngineError('RANKS_DIFFER', message, { rank: other });
}

/** What is odd about what ranks loaded, each once: a line of its own. */
export function noticesOf(reports: readonly Pick<LoadReport, 'unused' | 'kernels'>[]): string[] {
  const odd = reports.flatMap(({ kernels }) =>
    [kernels?.notice, kernels?.threadsNotice].filter((notice) => typeof notice === 'string'),
  );
  return [...new Set([...odd, ...unusedNotices(reports)])];
}

function unusedNotices(reports: readonly Pick<LoadReport, 'unused'>[]): string[] {
  return reports.flatMap(({ unused: { count, names, skipped } }) => {
    const notRun = skipped.map((part) => `the checkpoint has ${part}, which expertwire doesn't run: skipped`);
    if (count === 0) return notRun;
    const rest = count > names.length ? `, and ${count - names.length} more` : '';
    const what = count === 1 ? 'a tensor' : `${count} tensors`;
    return [
      ...notRun,
      `the checkpoint has ${what} that its config.json gives no meaning to, not used: ${names.join(', ')}${rest}; another config.json may belong to it`,
    ];
  });
}
