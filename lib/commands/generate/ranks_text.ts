/** What the ranks of a job compute with, in a few words. Pure. */
import type { LoadReport } from '../../protocol/step_plan.js';

type Report = Pick<LoadReport, 'backend' | 'residence' | 'kernels' | 'device'>;

/** `1 rank on wasm kernels (2 threads, 256 bits, fused)`, `4 ranks on tensorflow tensors (GPU 0, 1, 0, 1)`, or `3 ranks: 0, 2 on wasm kernels (256 bits, fused); 1 on cpu tensors`. Null: nobody is there. */
export function ranksText(reports: readonly (Report | null)[]): string {
  const kinds = new Map<string, number[]>();
  for (const [rank, report] of reports.entries()) {
    if (report === null) continue;
    const { backend, residence, kernels } = report;
    const kind = `on ${backend} ${residence.compute}${kernelsText(kernels)}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), rank]);
  }
  const numRanks = reports.filter((report) => report !== null).length;
  const count = `${numRanks} ${numRanks === 1 ? 'rank' : 'ranks'}`;
  const texts = [...kinds].map(([kind, ranks]) => {
    const own = `${kind}${devicesText(ranks.map((rank) => reports[rank]!.device))}`;
    return kinds.size === 1 ? own : `${ranks.join(', ')} ${own}`;
  });
  return kinds.size === 1 ? `${count} ${texts.join('')}` : `${count}: ${texts.join('; ')}`;
}

function kernelsText(kernels: Report['kernels']): string {
  if (kernels === null) return '';
  const { simd, fma, numThreads, activations = 'f32' } = kernels;
  const parts = [
    ...(numThreads > 1 ? [`${numThreads} threads`] : []),
    `${simd} bits`,
    ...(fma ? ['fused'] : []),
    ...(activations === 'f32' ? [] : [`${activations} activations`]),
  ];
  return ` (${parts.join(', ')})`;
}

const devicesText = (devices: readonly (string | null)[]): string =>
  devices.every((device) => device === null) ? '' : ` (GPU ${devices.map((device) => device ?? '–').join(', ')})`;
