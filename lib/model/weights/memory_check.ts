/** Whether what a rank will hold fits where it will lie, and if not, what would: before a weight is read. Pure. */
import { ExpertError } from '../../../compute/base/errors.js';
import { WASM_MAX_WEIGHT_BYTES, type BackendName } from '../../../compute/tfjs/tf.js';
import { bytesOfPart } from './dense_sizes.js';
import type { Footprint, FootprintAt } from './footprint.js';
import type { FootprintAs, FormChange } from './footprint_changes.js';
import type { Residence } from './residence.js';

/** A GPU that holds a rank's tensors. */
export interface GpuMemory {
  /** Its name; null where that isn't known. */
  readonly device: string | null;
  /** Before any rank of the job took of it; null where that isn't known, and then all fits. */
  readonly freeBytes: number | null;
  /** Ranks that share it. */
  readonly numRanks: number;
}

/** What there is for a rank, in bytes and numbers of ranks. */
export interface MemoryLimits {
  readonly backend: BackendName;
  readonly rank: number;
  readonly numRanks: number;
  /** That this machine can still give. */
  readonly availableBytes: number;
  /** Of this machine. */
  readonly totalBytes: number;
  /** Ranks that share it. */
  readonly ranksHere: number;
  /** Of one memory of the kernels, which holds a layer's dense weights and KV cache whole. */
  readonly memoryBytes: number;
  /** Null: tensors lie in the machine's memory. */
  readonly gpu: GpuMemory | null;
  /** Of the largest tensor that the backend takes. Default: any. */
  readonly maxTensorBytes?: number;
}

/** What a rank would hold otherwise, which advice is made of. */
export interface Alternatives {
  /** If there were others of them. */
  readonly at: FootprintAt;
  /** If its weights were kept as something else. */
  readonly as: FootprintAs;
}

/** A rank and where it is to lie. */
interface Case {
  readonly footprint: Footprint;
  readonly residence: Residence;
  readonly limits: MemoryLimits;
}

/** What doesn't fit; the message goes on with what would. */
interface Problem {
  readonly where: 'wasm' | 'kernel_memory' | 'tensor' | 'gpu' | 'shared_machine' | 'machine';
  readonly what: string;
}

/** What the wasm backend of TensorFlow.js can address. */
const WASM_HEAP_BYTES = 2 ** 32;

/**
 * Refuses what doesn't fit before it is loaded.
 *
 * @throws ExpertError OUT_OF_MEMORY with the numbers, and with changes of which each alone makes it fit
 */
export function checkMemory(
  footprint: Footprint,
  residence: Residence,
  limits: MemoryLimits,
  { at, as }: Alternatives,
): void {
  const own = { footprint, residence, limits };
  const problem = problemOf(own);
  if (problem === null) return;
  const advice = [...smallerParts(own, problem, as), ...otherRanks(own, problem, at)];
  const last = advice.length > 0 ? advice : lastResort(problem);
  const message = `this rank would hold ${problem.what}; ${last.join(', or ')}`;
  throw new ExpertError('OUT_OF_MEMORY', message);
}

const weightsOf = ({ dense, experts, moving }: Footprint): number => dense + experts + moving;

const totalOf = (footprint: Footprint): number =>
  weightsOf(footprint) + footprint.cache + footprint.activations + footprint.received;

/** The first thing that doesn't fit. */
function problemOf(own: Case): Problem | null {
  const { residence, limits } = own;
  if (residence.compute === 'kernels') return kernelProblem(own) ?? machineProblem(own);
  const wasm = limits.backend === 'wasm' ? wasmProblem(own) : null;
  return wasm ?? tensorProblem(own) ?? gpuProblem(own) ?? machineProblem(own);
}

/** Its heap holds operands of products a second time, packed; when it is full, it computes garbage. */
function wasmProblem({ footprint }: Case): Problem | null {
  const { cache, activations, received } = footprint;
  const weights = weightsOf(footprint);
  if (weights > WASM_MAX_WEIGHT_BYTES) {
    const what = `${gib(weights)} of float32 weights (${partsOf(footprint)}), and TensorFlow.js's wasm backend holds ${gib(WASM_MAX_WEIGHT_BYTES)}`;
    return { where: 'wasm', what };
  }
  const heap = 2 * (weights + cache) + activations + received;
  if (heap <= WASM_HEAP_BYTES) return null;
  const what = `${gib(heap)} (weights ${gib(weights)} and KV cache ${gib(cache)}, both twice, activations ${gib(activations + received)}), and TensorFlow.js's wasm backend holds ${gib(WASM_HEAP_BYTES)}`;
  return { where: 'wasm', what };
}

function kernelProblem({ footprint: { largestPart }, limits: { memoryBytes } }: Case): Problem | null {
  if (largestPart === null || bytesOfPart(largestPart) <= memoryBytes) return null;
  const { name, weights, cache, activations } = largestPart;
  const what = `${gib(bytesOfPart(largestPart))} of ${name} that can't be divided (weights ${gib(weights)}, KV cache ${gib(cache)}, activations ${gib(activations)}), and a kernel memory holds ${gib(memoryBytes)}`;
  return { where: 'kernel_memory', what };
}

function tensorProblem({ footprint: { largestTensor }, limits }: Case): Problem | null {
  const { backend, maxTensorBytes = Infinity } = limits;
  if (largestTensor <= maxTensorBytes) return null;
  const what = `a tensor of ${gib(largestTensor)}, and the device of backend ${backend} takes ${gib(maxTensorBytes)} at most`;
  return { where: 'tensor', what };
}

function gpuProblem({ footprint, limits: { gpu } }: Case): Problem | null {
  if (gpu?.freeBytes == null) return null;
  const { device, freeBytes, numRanks } = gpu;
  const total = totalOf(footprint);
  if (numRanks * total <= freeBytes) return null;
  const shared = numRanks === 1 ? '' : ` for ${numRanks} such ranks`;
  const what = `${gib(total)} (${partsOf(footprint)}, KV cache ${gib(footprint.cache)}) on GPU ${device ?? '?'}, which has ${gib(freeBytes)} free${shared}`;
  return { where: 'gpu', what };
}

/** The tier in memory too, wherever tensors lie. What lies on a GPU passes through the machine's memory: the largest tensor as it is read, as float32, and turned round. */
function machineBytes({ footprint, limits }: Case): number {
  const { tiers = 0, largestTensor, received } = footprint;
  return tiers + (limits.gpu === null ? totalOf(footprint) : 3 * largestTensor + received);
}

function machineProblem(rank: Case): Problem | null {
  const { availableBytes, totalBytes, ranksHere, gpu } = rank.limits;
  const total = machineBytes(rank);
  const { footprint } = rank;
  const own =
    gpu === null ? `${partsOf(footprint)}, KV cache ${gib(footprint.cache)}` : 'tensors on their way to its GPU';
  const { tiers = 0 } = footprint;
  const parts = tiers === 0 ? own : `${own}, KV blocks of the ram tier ${gib(tiers)}`;
  if (total > availableBytes) {
    return { where: 'machine', what: `${gib(total)} (${parts}), and this machine has ${gib(availableBytes)} left` };
  }
  if (ranksHere === 1 || ranksHere * total <= totalBytes) return null;
  const what = `${gib(total)} (${parts}), and ${ranksHere} such ranks share a machine with ${gib(totalBytes)}`;
  return { where: 'shared_machine', what };
}

const partsOf = ({ dense, experts, moving }: Footprint): string =>
  `dense ${gib(dense)}, experts ${gib(experts + moving)}`;

/** What the same ranks could do with less memory. */
function smallerParts(own: Case, problem: Problem, as: FootprintAs): string[] {
  const { footprint, residence } = own;
  const { where } = problem;
  const fits = (changed: Partial<Footprint>): boolean =>
    problemOf({ ...own, footprint: { ...footprint, ...changed } }) === null;
  const tiers = (footprint.tiers ?? 0) > 0 && fits({ tiers: 0 }) ? ['lower ram in engine.kv_tiers'] : [];
  if (residence.compute === 'tensors') {
    const kernels = where === 'wasm' ? ['use compute: kernels'] : [];
    const blocks = where === 'wasm' && fits({ cache: 0 }) ? ['lower engine.num_kv_blocks'] : [];
    return [...tiers, ...kernels, ...blocks];
  }
  if (where === 'kernel_memory') return dividing(own, as);
  const blocks = fits({ cache: 0 }) ? ['lower engine.num_kv_blocks'] : [];
  return [...tiers, ...smallerTypes(own, ['experts', 'dense'], as), ...blocks, ...onDisk(own, as)];
}

/** Of experts or of all other weights, the largest that fits; overrides, where they alone are what doesn't fit. */
function smallerTypes(own: Case, keys: readonly ('experts' | 'dense')[], as: FootprintAs): string[] {
  const types = keys.flatMap((key) => {
    const fitting = SMALLER_DTYPES.find((dtype) => isFitting(own, as, { [key]: dtype }));
    return fitting === undefined ? [] : [`set ${key}.resident to ${fitting}, which fits`];
  });
  const { overrides = [] } = own.residence;
  const mayGo = overrides.length > 0 && isFitting(own, as, { overrides: [] });
  return mayGo ? [...types, 'remove resident_overrides, without which it fits'] : types;
}

function isFitting(own: Case, as: FootprintAs, changed: FormChange): boolean {
  const footprint = as(changed);
  return footprint !== null && problemOf({ ...own, footprint }) === null;
}

/** What the rest leaves of a machine to experts, of which the others would be read when they are wanted. Warm copies of those are beside them. */
function onDisk(own: Case, as: FootprintAs): string[] {
  const { availableBytes, totalBytes, ranksHere } = own.limits;
  const { experts, moving } = own.footprint;
  const room = Math.min(availableBytes, totalBytes / ranksHere) - (machineBytes(own) - experts - moving);
  const [both, alone] = [as({ maxResidentBytes: room }), as({ maxResidentBytes: room, warm: null })];
  const warm = both === null || alone === null ? 0 : both.experts - alone.experts;
  const mib = Math.floor((room - warm) / 2 ** 20);
  if (mib < 1 || !isFitting(own, as, { maxResidentBytes: mib * 2 ** 20 })) return [];
  return [`keep some experts on disk with experts.max_resident_bytes: ${mib}MiB`];
}

/** What makes the largest part fit one memory. */
function dividing(own: Case, as: FootprintAs): string[] {
  const { memoryBytes } = own.limits;
  const { weights, cache, activations } = own.footprint.largestPart!;
  const [limit, rest] =
    cache < activations ? ['max_num_batched_tokens', weights + cache] : ['num_kv_blocks', weights + activations];
  const advice = [...(rest < memoryBytes ? [`lower engine.${limit}`] : []), ...smallerTypes(own, ['dense'], as)];
  return advice.length > 0 ? advice : ['use compute: tensors with backend: tensorflow'];
}

/** The fewest further ranks that would do, and fewer ones where those of a machine are all. */
function otherRanks(own: Case, { where }: Problem, at: FootprintAt): string[] {
  if (where === 'kernel_memory' || where === 'tensor') return [];
  const { limits } = own;
  const { numRanks, ranksHere, gpu } = limits;
  const fits = (others: number, changed: Partial<MemoryLimits> = {}): boolean => {
    const footprint = others === numRanks ? own.footprint : at(others);
    return footprint !== null && problemOf({ ...own, footprint, limits: { ...limits, ...changed } }) === null;
  };
  const advice: string[] = [];
  if (where === 'gpu' && gpu!.numRanks > 1 && fits(numRanks, { gpu: { ...gpu!, numRanks: 1 } })) {
    advice.push('give each rank a GPU of its own');
  }
  // What a process can address is no matter of the machine: further ranks may run on it too.
  const mayStay = where === 'wasm' && ranksHere === numRanks;
  const here = mayStay
    ? from(numRanks + 1, MAX_RANKS).find((others) => fits(others, { ranksHere: others }))
    : undefined;
  const more = here ?? from(numRanks + 1, MAX_RANKS).find((others) => fits(others));
  const places = here === undefined ? whereRanksGo(own, where) : 'here';
  if (more !== undefined) advice.push(`spread the experts over ${more} ranks ${places}`);
  if (where !== 'shared_machine' || ranksHere !== numRanks) return advice;
  const fewer = from(1, numRanks - 1)
    .reverse()
    .find((others) => fits(others, { ranksHere: others }));
  return fewer === undefined ? advice : [...advice, `use ${fewer} ${fewer === 1 ? 'rank' : 'ranks'} here`];
}

function whereRanksGo({ limits: { ranksHere, gpu } }: Case, where: Problem['where']): string {
  if (where === 'gpu') return gpu!.numRanks === 1 ? 'with a GPU each' : `with ${gpu!.numRanks} on each GPU, as now`;
  return ranksHere === 1 ? 'on as many machines' : `with ${ranksHere} on each machine, as now`;
}

/** Beyond as many ranks, an expert each and more, no further one helps. */
const MAX_RANKS = 1024;

const from = (first: number, last: number): number[] =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);

function lastResort({ where }: Problem): string[] {
  switch (where) {
    case 'tensor':
      return ['use backend: tensorflow or wasm'];
    case 'gpu':
      return ['take GPUs with more memory, or backend: wasm'];
    case 'wasm':
    case 'kernel_memory':
    case 'machine':
    case 'shared_machine':
      return ['take a machine with more memory'];
  }
}

/** Largest first. */
const SMALLER_DTYPES = ['bf16', 'int8', 'int4'] as const;

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
