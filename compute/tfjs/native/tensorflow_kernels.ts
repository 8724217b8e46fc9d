/**
 * Kernels of expertwire for TensorFlow: its own operations, called past TensorFlow.js's. What that has for a product of matrices is the batched one, which takes
 * ten times as long for a single row; and each kernel of TensorFlow.js costs as much as the operation behind it.
 * Shape suffixes: N rows, W width, K inner, M columns.
 * Why: docs/decisions/tensorflow.md#single-rows-on-tensorflow
 */
import { FUSED, hasKernel } from '../library/fused_kernels.js';
import { tf, type TensorInfo, type TfjsTensor } from '../library/tfjs.js';

interface OpAttribute {
  readonly name: string;
  readonly type: number;
  readonly value: boolean | number;
}

/** What the backend of tfjs-node offers to its kernels. */
interface NativeBackend {
  readonly binding: Readonly<Record<'TF_ATTR_BOOL' | 'TF_ATTR_TYPE' | 'TF_ATTR_INT' | 'TF_FLOAT' | 'TF_INT32', number>>;
  executeSingleOutput(name: string, attributes: readonly OpAttribute[], inputs: readonly TensorInfo[]): TfjsTensor;
  executeMultipleOutputs(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly TensorInfo[],
    numOutputs: number,
  ): TfjsTensor[];
  write(values: Float32Array | Int32Array, shape: number[], dtype: 'float32' | 'int32'): TensorInfo['dataId'];
}

/** Registers them; once. */
export function registerTensorflowKernels(): void {
  if (hasKernel(FUSED.matMul, 'tensorflow')) return;
  const ops = new TensorflowOps(tf.backend() as unknown as NativeBackend);
  register(FUSED.matMul, ([a, b]) => ops.matMul(a!, b!));
  register(FUSED.rmsNorm, ([x, weight], eps) => ops.rmsNorm(x!, weight!, eps));
  register(FUSED.swiglu, ([x]) => ops.swiglu(x!));
  register(FUSED.expRows, ([x]) => ops.expRows(x!));
}

function register(kernelName: string, compute: (inputs: readonly TensorInfo[], eps: number) => TensorInfo): void {
  tf.registerKernel({
    kernelName,
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, attrs }) =>
      compute(Object.values(inputs) as TensorInfo[], (attrs as { readonly eps?: number } | undefined)?.eps ?? 0),
  });
}

class TensorflowOps {
  private readonly float: OpAttribute;
  private readonly product: readonly OpAttribute[];
  private readonly reduction: readonly OpAttribute[];
  private readonly split: readonly OpAttribute[];
  /** The axis of columns, as an operand; as all constants, it lives as long as the process. */
  private readonly columnAxis: TensorInfo;
  /** [1,1] of each number that a norm adds, as few as models have. */
  private readonly numbers = new Map<number, TensorInfo>();

  constructor(private readonly backend: NativeBackend) {
    const { TF_ATTR_BOOL, TF_ATTR_TYPE, TF_ATTR_INT, TF_FLOAT, TF_INT32 } = backend.binding;
    const flag = (name: string, value: boolean): OpAttribute => ({ name, type: TF_ATTR_BOOL, value });
    this.float = { name: 'T', type: TF_ATTR_TYPE, value: TF_FLOAT };
    this.product = [flag('transpose_a', false), flag('transpose_b', false), this.float];
    this.reduction = [flag('keep_dims', true), this.float, { name: 'Tidx', type: TF_ATTR_TYPE, value: TF_INT32 }];
    this.split = [{ name: 'num_split', type: TF_ATTR_INT, value: 2 }, this.float];
    this.columnAxis = this.constant(Int32Array.of(1), [], 'int32');
  }

  /** [N,K]·[K,M] */
  matMul(a: TensorInfo, b: TensorInfo): TfjsTensor {
    return this.backend.executeSingleOutput('MatMul', this.product, [a, b]);
  }

  /** As rmsNorm in ops.ts. */
  rmsNorm(x: TensorInfo, weight: TensorInfo, eps: number): TfjsTensor {
    const squares = this.op('Square', x);
    const means = this.free(this.reduce('Mean', squares), squares);
    const shifted = this.free(this.op('AddV2', means, this.number(eps)), means);
    const scales = this.free(this.op('Rsqrt', shifted), shifted);
    const scaled = this.free(this.op('Mul', x, scales), scales);
    return this.free(this.op('Mul', scaled, weight), scaled);
  }

  /** [gate | up] [N,2W] → silu(gate)·up [N,W]. */
  swiglu(x: TensorInfo): TfjsTensor {
    const [gate, up] = this.backend.executeMultipleOutputs('Split', this.split, [this.columnAxis, x], 2);
    const sigmoid = this.op('Sigmoid', gate!);
    const silu = this.free(this.op('Mul', gate!, sigmoid), gate!, sigmoid);
    return this.free(this.op('Mul', silu, up!), silu, up!);
  }

  /** exp(x − the row's maximum), [N,W]. */
  expRows(x: TensorInfo): TfjsTensor {
    const maxima = this.reduce('Max', x);
    const shifted = this.free(this.op('Sub', x, maxima), maxima);
    return this.free(this.op('Exp', shifted), shifted);
  }

  private op(name: string, ...inputs: readonly TensorInfo[]): TfjsTensor {
    return this.backend.executeSingleOutput(name, [this.float], inputs);
  }

  private reduce(name: string, x: TensorInfo): TfjsTensor {
    return this.backend.executeSingleOutput(name, this.reduction, [x, this.columnAxis]);
  }

  private number(value: number): TensorInfo {
    const held = this.numbers.get(value) ?? this.constant(Float32Array.of(value), [1, 1], 'float32');
    this.numbers.set(value, held);
    return held;
  }

  private constant(values: Float32Array | Int32Array, shape: number[], dtype: 'float32' | 'int32'): TensorInfo {
    return { dataId: this.backend.write(values, shape, dtype), shape, dtype };
  }

  /** `result`, when what it was made of is no longer needed. */
  private free(result: TfjsTensor, ...operands: readonly TfjsTensor[]): TfjsTensor {
    for (const operand of operands) operand.dispose();
    return result;
  }
}
