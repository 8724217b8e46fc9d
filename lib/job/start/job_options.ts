/** What a job is started with. */
import type { World } from '../../../comm/job/world.js';
import type { Placement } from '../../../experts/placement/placement.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import type { CodecTrial } from '../../plugins/codec_trial.js';
import type { JobGate } from '../../plugins/gates.js';
import type { JobPlugin } from '../../plugins/plugin_code.js';
import type { EngineLimits } from '../../protocol/limits.js';
import type { OnTimeline } from '../job.js';
import type { LocalRanks } from '../local_ranks.js';
import type { SettledConfig } from '../../config/loss_policy.js';

/** What a job runs, on which ranks, and who is told how it starts. */
export interface JobOptions {
  readonly config: SettledConfig;
  readonly spec: ModelSpec;
  readonly limits: EngineLimits;
  /** By seat, of which there may be more than ranks. */
  readonly placement: Placement;
  /** What every rank loads. Default nothing. */
  readonly plugins?: readonly JobPlugin[];
  /** Chooses experts instead of the model's own gate. Default null: nobody does. */
  readonly gate?: JobGate | null;
  /** What the head's codecs of plug-ins did. Default none: no plug-in brings one. */
  readonly codecs?: readonly CodecTrial[];
  /** Equal where blocks that are kept as files have the same bytes. Default null: none are kept. */
  readonly storeIdentity?: string | null;
  /** Rank processes of this machine: ranks 0 … numLocalRanks − 1. */
  readonly numLocalRanks: number;
  /** These processes, where they were started already; the job ends them. Default: it starts them. */
  readonly ranks?: LocalRanks;
  /** Ranks that join from elsewhere. Default 0. */
  readonly numExternalRanks?: number;
  /** Where ranks join. Default: a free port of 127.0.0.1. */
  readonly listen?: { readonly host: string; readonly port: number };
  /** Where ranks of this machine look for the head: a relay, in experiments. Default: where it listens. */
  readonly dialHead?: { readonly host: string; readonly port: number };
  /** Address under which ranks elsewhere reach those of this machine. Default: the one they reach the head by. */
  readonly advertise?: string;
  /** The job secret; needed for external ranks. Default: a random one. */
  readonly secret?: string;
  /** Longest time without news while ranks join and load. Default 600000. */
  readonly joinTimeoutMs?: number;
  /** Ranks can join here from now on. */
  readonly onListening?: (address: { readonly host: string; readonly port: number }) => void;
  /** A rank that asked to join and was turned away, and why. */
  readonly onRefused?: (error: Error) => void;
  /** How far a rank's loading is, 0 … 1. */
  readonly onProgress?: (rank: number, fraction: number) => void;
  /** Where a launcher started several tasks of this machine: this one's place among them. */
  readonly world?: Pick<World, 'localRank' | 'localSize'>;
  /** What a rank did when, after each step; ranks collect it only where this is given. */
  readonly onTimeline?: OnTimeline;
  /** What the user should know of what ranks loaded: a line without its end. */
  readonly onNotice?: (line: string) => void;
  /** What a local rank wrote to its standard output or error. */
  readonly onRankLog?: (rank: number | null, line: string) => void;
  /** Take over the ranks of a head that was at `listen` and is gone, instead of starting some. Default false. */
  readonly resume?: boolean;
  readonly signal?: AbortSignal;
}
