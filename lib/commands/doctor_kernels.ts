/** What `expertwire doctor` tells of the kernels: how wide V8 makes them here, whether they fuse, and which Node would do better. Pure. */
import { tileKey, type KernelTrial } from '../kernels/kernel_trial.js';
import { widerNode } from '../kernels/kernel_choice.js';
import { widerText, type NodeKind } from '../kernels/newer_node.js';

/** A line of two columns, and one more where a newer Node has wider kernels. */
export function kernelFacts(trial: KernelTrial, node: NodeKind): readonly (readonly [string, string])[] {
  const { lacks256, lacksFma, gain } = trial;
  const faster = gain === null ? '' : `, products ${gain.toFixed(1)} times as fast as with 128`;
  const width = lacks256 === null ? `256-bit SIMD${faster}` : `128-bit SIMD: ${lacks256.why}`;
  const fused = lacksFma === null ? 'fused multiply-add' : `no fused multiply-add: ${lacksFma.why}`;
  const newer = widerNode({ simd: 'auto' }, trial, node);
  const advice = newer === null ? [] : [['', widerText(newer)] as const];
  return [['kernels', `${width}; ${fused}`], ...advice];
}

/** For `--json`. */
export function kernelsJson(trial: KernelTrial, node: NodeKind): object {
  const { lacks256, lacksFma, gain } = trial;
  const simd = lacks256 === null ? 256 : 128;
  return {
    kernels: {
      simd,
      fma: lacksFma === null,
      tile_rows: trial.tileRows[tileKey(lacksFma === null ? 'fused' : 'plain', simd)] ?? null,
      gain_256: lacks256 === null ? gain : null,
      no_256: lacks256?.why ?? null,
      no_fma: lacksFma?.why ?? null,
      newer_node: widerNode({ simd: 'auto' }, trial, node),
    },
  };
}
