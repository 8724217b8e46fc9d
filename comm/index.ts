/**
 * `expertwire/comm`: bytes between ranks, for use alone or under `expertwire`.
 * @module expertwire/comm
 */
export { CodedError } from '../base/coded_error.js';
export { floatRows, type FloatRows } from '../base/float_rows.js';
export * from '../base/ids.js';
export * from './base/errors.js';
export {
  FRAME_FLAGS,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRAME_VERSION,
  PHASES,
  decodeHeader,
  encodeHeader,
  type FrameDtype,
  type FrameHeader,
  type FrameKey,
  type Phase,
  type StepTag,
} from './mesh/frame.js';
export type {
  ArrivingFrame,
  Frame,
  GatherEvents,
  Mesh,
  MeshClosed,
  MeshStats,
  PeerAddress,
  Wait,
} from './mesh/mesh.js';
export { DEFAULT_MAX_FRAME_BYTES, type MeshLimits } from './mesh/mesh_base.js';
export { createLocalMeshes, LocalNetwork } from './mesh/local_mesh.js';
export {
  IoThreadServer,
  listenInIoThread,
  openIoThreadMesh,
  type IoThreadMeshOptions,
} from './ws/io_thread/io_thread_mesh.js';
export { openThreadMesh } from './threads/thread_mesh.js';
export { createThreadSeats, portsOf, type ThreadSeat } from './threads/thread_seat.js';
export { listenForPeers, openWsMesh, type PeerServerOptions, type WsMeshOptions } from './ws/ws_mesh.js';
export type { TlsOptions } from './base/tls.js';
export type { OnRefused, RefusedFrom } from './ws/door/refusals.js';
export type { WsServer } from './ws/door/ws_server.js';
export type { Address } from './ws/door/dial.js';
export { createCollectives, type Collectives, type CollectivesOptions } from './mesh/collectives.js';
export {
  combineBytes,
  createAllToAll,
  dispatchBytes,
  type DispatchSize,
  type Reduce,
} from './all_to_all/all_to_all.js';
export type * from './all_to_all/contract/all_to_all_contract.js';
export { createLowLatencyAllToAll } from './all_to_all/packed/low_latency.js';
export type * from './all_to_all/contract/low_latency_contract.js';
export { lowLatencyDispatchBytes } from './all_to_all/packed/packed_payload.js';
export { DegradedTokens } from './all_to_all/contract/degraded.js';
export type { OnPeerLoss } from './all_to_all/exchange/exchange.js';
export type { PhaseTraffic } from './all_to_all/exchange/exchange_stats.js';
export { sumOverLayers, trafficMatrices, type TrafficMatrices } from './all_to_all/exchange/traffic_matrix.js';
export type { ArrivedFrame, FrameSpan, OnSpan, Span } from './all_to_all/exchange/span.js';
export {
  WIRE_DTYPES,
  decodeRows,
  encodeRows,
  roundTripRows,
  wireRowBytes,
  type WireDtype,
  type WireForm,
} from './codec/wire_dtype.js';
export type { WireCodec } from './codec/wire_codec.js';
export {
  layoutOf,
  type DestinationLayout,
  type LayoutShape,
  type ExpertChoices,
} from './all_to_all/contract/layout.js';
export { PROTOCOL_VERSION } from './ws/door/handshake.js';
export { Rendezvous, type RendezvousOptions } from './job/rendezvous.js';
export { Admissions, type AdmissionsOptions } from './job/admissions.js';
export { Door, type Candidate, type DoorOptions } from './job/door.js';
export { joinHead, type JoinedRank, type JoinOptions, type ReadyOptions } from './job/join.js';
export { ControlLink, type LinkClosed, type MessageHandler } from './job/control_link.js';
export type { ControlMessage, ControlMessageOf } from './job/messages.js';
export { worldFromEnv, type World } from './job/world.js';
export type { Rows } from './codec/wire_staging.js';
