/** What head and ranks say to each other about one step. Sent as msgpack over the control link. */
import type { RemoteError } from '../../comm/base/errors.js';
import type { Address } from '../../comm/ws/door/dial.js';
import type { MigrationOrder, MigrationProgress } from '../../experts/layer/migration.js';
import type { TierStats } from '../../experts/tiers/tier_counts.js';
import type { StepPhase } from '../../compute/base/stopwatch.js';
import type { TimelineEvent } from '../metrics/timeline.js';
import type { KernelChoice } from '../kernels/kernel_choice.js';
import type { HandoverOrder, PullReport } from './handover.js';
import type { KeyedBlock, LiftReport, StoreNews, StoreOrder } from './kv_store.js';
import type { KvReport, KvTransfer } from './kv_transfer.js';
import type { Residence } from '../model/weights/residence.js';
import type { Look, LookTable } from './look.js';
import type { SamplingParams } from './sampling.js';

/** One rank's part of a step: every rank gets one, with the same numbers, even when it has no tokens. */
export interface StepPlan {
  readonly step: number;
  /** Membership epoch. */
  readonly epoch: number;
  /** Version of the placement that every rank computes this step with. */
  readonly placementVersion: number;
  /** Beside the step: this round of rows of the experts that move. */
  readonly moveRound?: number;
  /** Beside the step: what this rank sends of KV blocks, and what it gets, because sequences move. Default: nothing. */
  readonly kv?: readonly KvTransfer[];
  readonly begin: readonly SequenceStart[];
  /** Generated tokens before prompt tokens. */
  readonly parts: readonly PlanPart[];
  /** Ranks whose plans of this step have no parts: in its layers nobody waits for rows of theirs. Default: any may have some. */
  readonly idle?: readonly number[];
  /** By seat, what each rank computes in the same time: balanced choices of replicas go by it. Default: all alike. */
  readonly capacities?: readonly number[];
  /** MoE layers at which some rank fetches expert outputs, and in how many exchanges, in which all ranks take part. Default: none. */
  readonly outputs?: readonly OutputExchanges[];
}

/** At a layer of the model. */
export interface OutputExchanges {
  readonly layer: number;
  readonly numExchanges: number;
}

/** A sequence begins on its rank, or begins anew: whatever was told of it before is forgotten. */
export interface SequenceStart {
  readonly sequence: number;
  /**
   * KV blocks in order of position that hold its first tokens already, because another sequence computed them, or because it moved here; usually none.
   */
  readonly blocks: readonly number[];
  /** Those tokens; they fill the blocks, but the last one of a sequence that moved here. */
  readonly tokenIds: readonly number[];
  /** Tokens of its prompt: those behind them are its output. */
  readonly numPromptTokens: number;
  /** Tokens that can't come before `sampling.minTokens` others did. */
  readonly endTokenIds: readonly number[];
  readonly sampling: SamplingParams;
  readonly wants: SequenceWants;
}

/** What a request asks for besides tokens. */
export interface SequenceWants {
  readonly routedExperts: boolean;
  /** How likely each generated token was, and this many of the most likely ones in its place; null: not asked for. */
  readonly logprobs: number | null;
  /** The same of each token of the prompt. */
  readonly promptLogprobs: number | null;
  readonly logits: boolean;
  /** From inside the model. Default: nothing. */
  readonly looks?: readonly Look[];
}

/**
 * In the place of a token id: the token that the rank sampled last of this sequence. The head plans a step before it has heard of the one before.
 * Why: docs/decisions/requests.md#the-next-step-is-planned-while-one-runs
 */
export const SAMPLED = -1;

/** Tokens of one sequence that follow each other. */
export interface PlanPart {
  readonly sequence: number;
  /** Ids, or {@link SAMPLED} alone. */
  readonly tokenIds: readonly number[];
  /** Position of the first of them. */
  readonly position: number;
  /** KV blocks that are appended for them, in order of position, behind those of the tokens before `position`. */
  readonly blocks: readonly number[];
  readonly isPrompt: boolean;
  /** Sample after the last of them: it completes the prompt, or is a generated token. */
  readonly sample: boolean;
  /** The token after the last of them, where the prompt goes on: for prompt log-probabilities. */
  readonly nextPromptToken: number | null;
  /** Tokens whose outputs were committed before their KV cache was lost with its rank: computed for the cache alone. */
  readonly isReplay: boolean;
  /** Of models with states: behind so many tokens of the sequence, ends of blocks, its blocks keep a state. Default nowhere. */
  readonly keeps?: readonly number[];
  /** Experts that these tokens go to instead of the gate's choice (`experts.routing`): [n·L·K]. */
  readonly forcedExperts?: Uint16Array;
}

/** What one rank reports of a step. */
export interface StepResult {
  readonly step: number;
  readonly outputs: readonly SequenceOutput[];
  /** Tokens per MoE layer and logical expert that this rank routed in this step, [L][E]. */
  readonly load: readonly (readonly number[])[];
  /** Of the same choices, how many each rank computed, [L][R]. */
  readonly rankLoad: readonly (readonly number[])[];
  /** Choices that weighed too little (`experts.skip_threshold`). Default 0. */
  readonly numSkipped?: number;
  readonly phasesMs: Readonly<Record<StepPhase, number>>;
  readonly stats: RankStats;
  /** Where experts moved. */
  readonly moved?: MoveReport;
  /** Where KV blocks moved. */
  readonly kv?: KvReport;
  /** Where the job is traced. */
  readonly timeline?: readonly TimelineEvent[];
}

/** What moving experts came to beside a step. */
export interface MoveReport extends Omit<MigrationProgress, 'error'> {
  /** How much longer the step took on this rank: reading rows before it, and waiting for rows behind it. */
  readonly stallMs: number;
  /** When rows left and arrived. */
  readonly timeline: readonly TimelineEvent[];
  readonly error?: RemoteError;
}

/** Between two steps: what leads to the next version of the placement. */
export type MoveOrder =
  | { readonly kind: 'prepare'; readonly order: MigrationOrder }
  /** Every rank holds all that the version needs: from now on it is the placement. */
  | { readonly kind: 'commit'; readonly version: number }
  /** The version won't come. */
  | { readonly kind: 'drop'; readonly version: number };

/** What came of one part of the plan. */
export interface SequenceOutput {
  readonly sequence: number;
  /** Null where nothing was to be sampled. */
  readonly tokenId: number | null;
  /** Per token of the part and MoE layer, K experts each: [n·L·K]. */
  readonly routedExperts?: Uint16Array;
  /** Of the sampled token. */
  readonly logprobs?: LogprobTable;
  /** Of the prompt tokens that come after each token of the part: one fewer where the prompt ends with it. */
  readonly promptLogprobs?: LogprobTable;
  /** [n·V] */
  readonly logits?: Float32Array;
  /** Where the sequence is looked at: its sights in their order, but `experts` where {@link routedExperts} has them. */
  readonly tables?: readonly LookTable[];
  /** Positions of the part's tokens that lost at least one expert, ascending; absent where none did. */
  readonly degraded?: readonly number[];
}

/** How likely the model found n tokens, each in its place, and k of the most likely ones there, before anything that sampling does. */
export interface LogprobTable {
  /** [n], natural logarithms */
  readonly logprobs: Float64Array;
  /** [n], 1 = the most likely one; of equally likely ones the lower token comes first */
  readonly ranks: Int32Array;
  /** [n·k], most likely first */
  readonly topTokenIds: Int32Array;
  /** [n·k] */
  readonly topLogprobs: Float64Array;
}

/** Counters of one rank since it started. */
export interface RankStats {
  readonly numTensors: number;
  readonly tensorBytes: number;
  /** Bytes of weights and KV cache in memories of the kernels; 0 where TensorFlow.js computes. */
  readonly kernelBytes: number;
  /** Calls of kernels so far. */
  readonly numKernelCalls: number;
  /** Activations, logits and what steers their computation, into the memory of what computes and out of it, so far: kernels' or a backend's. */
  readonly numCopies: number;
  readonly copiedBytes: number;
  readonly numKernelRuns: number;
  readonly numKvBlocks: number;
  readonly peakRssBytes: number;
  /** Per destination rank. */
  readonly dispatchBytes: readonly number[];
  readonly combineBytes: readonly number[];
  /** Per source rank: how long this rank waited for its rows. */
  readonly waitMs: readonly number[];
  /** Of its experts, where not all are resident. Default: they are. */
  readonly tiers?: TierStats;
}

/** What a rank is to forget. */
export interface FreeOrder {
  /** KV blocks that no sequence holds any more. */
  readonly blocks: readonly number[];
  /** Sequences that are over there: how they are sampled, and their states. */
  readonly sequences: readonly number[];
  /** KV blocks that stay, and whose states go. Default none. */
  readonly states?: readonly number[];
  /** Those of `blocks` that go to the first of the rank's tiers, as they are before anything of this is forgotten. Default none. */
  readonly keep?: readonly KeyedBlock[];
}

/** A placement as a message has it. */
export interface ToldPlacement {
  readonly version: number;
  /** Per MoE layer, by slot of all seats. */
  readonly phy2log: readonly Int32Array[];
}

/** What a rank is to know of an epoch before its next step. */
export interface EpochOrder {
  readonly epoch: number;
  /** The ranks that take part in steps, by seat. Those that were absent until now hold no experts. */
  readonly members: readonly number[];
  /** What is in force: told to a rank that joins. */
  readonly placement?: ToldPlacement;
}

/** What a rank says while it reads experts that it takes over, while no step runs. */
export interface GatherReport {
  /** Of the placement that it leads to. */
  readonly version: number;
  /** Experts that are still to be read: 0, and it is ready. */
  readonly numLeft: number;
  /** Why it can't go on. */
  readonly error?: RemoteError;
  /** Where memory is what it lacks: experts that it has room for. */
  readonly room?: number;
}

/** What the head tells a rank. */
export type HeadToRank =
  | { readonly kind: 'step'; readonly plan: StepPlan }
  | ({ readonly kind: 'free' } & FreeOrder)
  | { readonly kind: 'move'; readonly move: MoveOrder }
  /** No step runs until all have what comes from disk of this version: say how far it is. */
  | { readonly kind: 'gather'; readonly version: number }
  /** Nobody needs this rank any more: it ends well. */
  | { readonly kind: 'leave' }
  /** It asked to leave, and the job can't let it go: it stays. */
  | { readonly kind: 'stay'; readonly reason: string }
  /** No head comes after this one: a rank that has grace ends with it all the same. */
  | { readonly kind: 'end_grace' }
  /** Obeyed at once, beside the steps. */
  | { readonly kind: 'handover'; readonly order: HandoverOrder }
  | { readonly kind: 'store'; readonly order: StoreOrder }
  /** The step that runs, if any, is abandoned, and the job goes on with these ranks. */
  | ({ readonly kind: 'epoch' } & EpochOrder);

/** What a rank does in the order in which it hears of it; the orders about its tiers beside its steps. */
export type StepOrder = Exclude<HeadToRank, { readonly kind: 'leave' | 'stay' | 'end_grace' | 'handover' }>;

/** What a rank tells the head. */
export type RankToHead =
  | { readonly kind: 'loaded'; readonly report: LoadReport }
  | { readonly kind: 'result'; readonly result: StepResult }
  /** The step failed here because of a peer; the rank waits for the head's next word. Only where losses are masked. */
  | { readonly kind: 'stuck'; readonly epoch: number; readonly error: RemoteError }
  /** This rank has left the abandoned step and its epoch behind. */
  | { readonly kind: 'entered'; readonly epoch: number }
  | ({ readonly kind: 'gathered' } & GatherReport)
  | ({ readonly kind: 'pulled' } & PullReport)
  | ({ readonly kind: 'lifted' } & LiftReport)
  | ({ readonly kind: 'store' } & StoreNews)
  /** The command that started this rank saw the process of another one of its ranks end. Only where that ends the job. */
  | ({ readonly kind: 'neighbour_ended' } & EndedNeighbour)
  /** This rank was told to stop: it goes as soon as nobody needs it, and stays until then. */
  | { readonly kind: 'leave' };

/** How the process of a rank ended, as the command that started it saw it. */
export interface EndedNeighbour {
  readonly rank: number;
  /** Undefined: it could not be started. */
  readonly pid: number | undefined;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Name of its machine. */
  readonly host: string;
}

/** The threads that compute in a rank. */
export interface ThreadsReport {
  readonly numThreads: number;
  /** Why there are fewer than there might be: a line without its end. */
  readonly threadsNotice: string | null;
}

/** How the kernels of a rank compute. */
export interface KernelReport extends KernelChoice, ThreadsReport {
  /** What its user should know of it: a line without its end. */
  readonly notice: string | null;
  /** The command whose Node would compute with 256 bits, where this one can't; null: there is none. */
  readonly newer: string | null;
}

/** What loading took on one rank. */
export interface LoadReport {
  readonly backend: string;
  readonly backendDetail: string;
  /** The GPU, as CUDA_VISIBLE_DEVICES names it; null: none, or one that nobody chose. */
  readonly device: string | null;
  readonly residence: Residence;
  /** How its kernels compute; null: TensorFlow.js computes. */
  readonly kernels: KernelReport | null;
  /** Tensor bytes read from the checkpoint. */
  readonly bytesRead: number;
  readonly headerBytesRead: number;
  readonly loadMs: number;
  readonly pid: number;
  /** Where ranks of other instances read keys and values of sequences that this one leases; null: nowhere. */
  readonly kvDoor: Address | null;
  /** Of the experts that this rank read, by expertKey; absent where it reads the head's own folder. */
  readonly expertDigests?: Readonly<Record<string, string>>;
  /**
   * Tensors of the checkpoint that the model's configuration gives no meaning to: how many, and the first of them. `skipped`: parts of the published model that
   * aren't run here.
   */
  readonly unused: { readonly count: number; readonly names: readonly string[]; readonly skipped: readonly string[] };
}
