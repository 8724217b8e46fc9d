/** Whether ranks that loaded, each on a backend of its own, can work together, and what their user should know. Pure. */
import { dtypesIn, type ExpertDtypes } from '../../compute/base/expert_dtypes.js';
import { EngineError } from './errors.js';
import type { LoadReport } from './step_plan.js';

/**
 * Experts move from rank to rank as bytes of one type. `reports`: by rank.
 * @throws EngineError RANKS_DIFFER: two ranks keep the weights of experts as different types
 */
export function checkReports(reports: readonly Pick<LoadReport, 'backend' | 'residence'>[]): void {
  for (const [rank, report] of reports.entries()) checkLater(rank, report, reports[0]!);
}

/** As {@link checkReports}, of a rank that comes later. `first`: of rank 0 when the job began. */
export function checkLater(
  rank: number,
  own: Pick<LoadReport, 'backend' | 'residence'>,
  first: Pick<LoadReport, 'backend' | 'residence'>,
): void {
  if (isSame(own.residence.experts, first.residence.experts)) return;
  const textOf = (each: number, { backend, residence }: typeof own): string =>
    `${dtypesIn(residence.experts).join(' and ')} on rank ${each} (${backend} ${residence.compute})`;
  const message = `experts are ${textOf(0, first)} and ${textOf(rank, own)}; set experts.resident to f32 or bf16, which every backend has`;
  throw new EngineError('RANKS_DIFFER', message, { rank });
}

const isSame = (a: ExpertDtypes, b: ExpertDtypes): boolean => JSON.stringify(a) === JSON.stringify(b);

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
