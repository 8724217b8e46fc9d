/**
 * Row-wise functions as WebGPU programs: one dispatch each, where TensorFlow.js's own kernels take three to six. Same formulae as fused_rows.ts, with
 * sums in float32, by one workgroup per row: every invocation takes each W-th value, then they sum by halves. A row depends on itself alone.
 */
import { FUSED } from '../library/fused_kernels.js';
import { tf, type TensorInfo } from '../library/tfjs.js';
import type { Uniform, WebgpuBackendBase, WebgpuProgram } from '../library/tfjs_webgpu.js';

/** Makes them kernels of TensorFlow.js; once. */
export function registerWgslKernels(): void {
  register(FUSED.rmsNorm, ([x, weight], eps) => run(rmsNormProgram(x!.shape), [x!, weight!], eps));
  register(FUSED.swiglu, ([x]) => run(swigluProgram(x!.shape), [x!]));
  register(FUSED.expRows, ([x]) => run(expRowsProgram(x!.shape), [x!]));
}

interface Call {
  readonly program: WebgpuProgram;
  readonly inputs: readonly TensorInfo[];
  readonly uniforms: readonly Uniform[];
}

const run = (program: WebgpuProgram, inputs: readonly TensorInfo[], ...uniforms: readonly number[]): Call => ({
  program,
  inputs,
  uniforms: uniforms.map((value) => ({ type: 'float32', data: [value] })),
});

function register(kernelName: string, callOf: (inputs: readonly TensorInfo[], eps: number) => Call): void {
  tf.registerKernel({
    kernelName,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, backend, attrs }) => {
      const { eps = 0 } = (attrs ?? {}) as { readonly eps?: number };
      const { program, inputs: tensors, uniforms } = callOf(Object.values(inputs) as TensorInfo[], eps);
      return (backend as unknown as WebgpuBackendBase).runWebGPUProgram(program, tensors, 'float32', uniforms);
    },
  });
}

/** WebGPU guarantees 256. */
const WIDE = 256;
const NARROW = 64;

/** Invocations that share a row. */
const workersFor = (width: number): number => (width > 4 * NARROW ? WIDE : NARROW);

/** One workgroup per row of an output [N,W]. */
function rowProgram(
  name: string,
  variableNames: readonly string[],
  outputShape: readonly number[],
  code: (workers: number) => string,
  uniforms = '',
): WebgpuProgram {
  const [numRows, width] = outputShape as [number, number];
  const workers = workersFor(width);
  return {
    ...{ variableNames, outputShape, uniforms },
    shaderKey: name,
    workgroupSize: [workers, 1, 1],
    dispatchLayout: { x: [0, 1] },
    dispatch: [numRows, 1, 1],
    getUserCode: () => code(workers),
  };
}

/**
 * The body of a kernel for one row. Workgroups beyond the last row, which a square of them has, compute nothing; they can't return early, since all
 * invocations must meet at the barriers.
 */
const forRow = (workers: number, body: string): string => `
  fn main(index : i32) {
    let row = index / ${workers};
    let worker = index % ${workers};
    let width = uniforms.outShape.y;
    let end = select(0, width, row < uniforms.outShape.x);
    let start = row * width;
    ${body}
  }
`;

/** `partials[0]` becomes what `join` makes of all partials a and b. */
const reduce = (workers: number, join: string): string => `
    workgroupBarrier();
    for (var half = ${workers / 2}; half > 0; half = half / 2) {
      if (worker < half) {
        let a = partials[worker];
        let b = partials[worker + half];
        partials[worker] = ${join};
      }
      workgroupBarrier();
    }
`;

const rmsNormProgram = (shape: readonly number[]): WebgpuProgram =>
  rowProgram(
    FUSED.rmsNorm,
    ['x', 'weight'],
    shape,
    (workers) => `
  var<workgroup> partials : array<f32, ${workers}>;
  ${forRow(
    workers,
    `var sum = 0.0;
    for (var i = worker; i < end; i = i + ${workers}) { sum = sum + x[start + i] * x[start + i]; }
    partials[worker] = sum;
    ${reduce(workers, 'a + b')}
    let scale = 1.0 / sqrt(partials[0] / f32(width) + uniforms.eps);
    for (var i = worker; i < end; i = i + ${workers}) { result[start + i] = x[start + i] * scale * weight[i]; }`,
  )}`,
    'eps : f32,',
  );

/** Comparisons with NaN are false, so the maximum passes it over; exp() may make a number of it, so it is put back where it stood. */
const expRowsProgram = (shape: readonly number[]): WebgpuProgram =>
  rowProgram(
    FUSED.expRows,
    ['x'],
    shape,
    (workers) => `
  var<workgroup> partials : array<f32, ${workers}>;
  ${forRow(
    workers,
    `var highest = -uniforms.INFINITY;
    for (var i = worker; i < end; i = i + ${workers}) {
      if (x[start + i] > highest) { highest = x[start + i]; }
    }
    partials[worker] = highest;
    ${reduce(workers, 'select(a, b, b > a)')}
    for (var i = worker; i < end; i = i + ${workers}) {
      let distance = x[start + i] - partials[0];
      result[start + i] = select(exp(distance), distance, isnan(distance));
    }`,
  )}`,
  );

/** exp() of what is not positive alone, which can't overflow: WGSL lets implementations assume that nothing is infinite. */
function swigluProgram([numRows, width]: readonly number[]): WebgpuProgram {
  const outputShape = [numRows!, width! / 2];
  return {
    variableNames: ['x'],
    outputShape,
    uniforms: '',
    shaderKey: FUSED.swiglu,
    workgroupSize: [NARROW, 1, 1],
    dispatchLayout: { x: [0, 1] },
    dispatch: [Math.ceil((numRows! * width!) / 2 / NARROW), 1, 1],
    getUserCode: () => `
  fn main(index : i32) {
    let intermediate = uniforms.outShape.y;
    if (index >= uniforms.outShape.x * intermediate) { return; }
    let start = index + (index / intermediate) * intermediate;
    let gate = x[start];
    let small = exp(-abs(gate));
    let sigmoid = select(small, 1.0, gate >= 0.0) / (1.0 + small);
    result[index] = gate * sigmoid * x[start + intermediate];
  }
`,
  };
}
