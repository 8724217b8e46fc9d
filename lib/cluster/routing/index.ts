/** Routing, alone: policies, what instances have cached, and what moves, for programs with a router of their own. */
export type { BlockBatch, BlockEvent, BlockKey } from '../base/block_events.js';
export { ClusterError, type ClusterErrorCode } from '../base/errors.js';
export type { BlockSharing, InstanceRecord } from '../base/instance_record.js';
export type { Candidate, InstanceRates, InstanceView } from '../base/instance_view.js';
export type { LoadReport, RequestLoad } from '../base/load_report.js';
export type {
  Choice,
  LengthBucket,
  Rejection,
  RouteLeg,
  RoutedRequest,
  RoutingPolicy,
} from '../base/routed_request.js';
export { ApproximateIndex, type ApproximateIndexOptions } from './approximate_index.js';
export { LengthPredictor, type LengthClues } from './length_predictor.js';
export type { Route } from './legs.js';
export { countChangeOf, type CountChange, type CountSettings, type CountState } from './moving/instance_count.js';
export { planMoves, type Move, type MoveSettings } from './moving/moves.js';
export { PATIENT, type Patience } from './moving/patience.js';
export { flipOf, type Flip, type FlipState } from './moving/role_flips.js';
export { byLeg } from './policies/by_leg.js';
export { kv, type KvOptions } from './policies/kv.js';
export { length } from './policies/length.js';
export { leastLoad, minExpectedLatency, minObservedLatency, random, roundRobin } from './policies/plain.js';
export { slo, type Slo } from './policies/slo.js';
export { sticky } from './policies/sticky.js';
export { PrefixIndex, type BatchFate } from './prefix_index.js';
export { PromptKeys, type KnownPrompt } from './prompt_keys.js';
export type { PromptBlocks, NamedBlocks } from './pool/named_blocks.js';
export { RoutingTable, type AskedRequest, type RoutingTableOptions } from './routing_table.js';
export type { SentEnd, SentRequest } from './sent_request.js';

// Types that those above are made of.
export type { BlockHolder } from './pool/holders.js';
export type { BegunCopy, Copy } from './pool/replicas.js';
export type { ReplicationOptions } from './pool/replication.js';
export type { SessionTableOptions } from './session_table.js';
