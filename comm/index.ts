/** `expertwire/comm`: bytes between ranks, for use alone or under `expertwire`. */
export * from './ids.js';
export * from './errors.js';
export {
  FRAME_FLAGS,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRAME_VERSION,
  PHASES,
  decodeHeader,
  encodeHeader,
  frameKeyOf,
  type FrameHeader,
  type FrameKey,
  type Phase,
  type StepTag,
} from './frame.js';
export type { ArrivingFrame, Frame, Mesh, MeshClosed, MeshStats, Wait } from './mesh.js';
export { DEFAULT_MAX_FRAME_BYTES, type MeshLimits } from './mesh_base.js';
export { createLocalMeshes } from './local_mesh.js';
export { IoThreadServer, listenInIoThread, openIoThreadMesh, type IoThreadMeshOptions } from './io_thread_mesh.js';
export { createThreadSeats, openThreadMesh, portsOf, type ThreadSeat } from './thread_mesh.js';
export { listenForPeers, openWsMesh, type PeerServerOptions, type WsMeshOptions } from './ws_mesh.js';
export type { TlsOptions } from './tls.js';
export type { OnRefused, RefusedFrom } from './refusals.js';
export type { WsServer } from './ws_server.js';
export type { Address } from './dial.js';
export { createCollectives, type Collectives, type CollectivesOptions } from './collectives.js';
export { combineBytes, createAllToAll, dispatchBytes, type DispatchSize, type Reduce } from './all_to_all.js';
export type * from './all_to_all_contract.js';
export { createLowLatencyAllToAll } from './low_latency.js';
export type * from './low_latency_contract.js';
export { lowLatencyDispatchBytes } from './packed_payload.js';
export { DegradedTokens } from './degraded.js';
export type { OnPeerLoss } from './exchange.js';
export type { PhaseTraffic } from './exchange_stats.js';
export { sumOverLayers, trafficMatrices, type TrafficMatrices } from './traffic_matrix.js';
export type { OnSpan, Span } from './span.js';
export { WIRE_DTYPES, decodeRows, encodeRows, roundTripRows, wireRowBytes, type WireDtype } from './wire_dtype.js';
export { layoutOf, type DestinationLayout, type LayoutShape } from './layout.js';
export { PROTOCOL_VERSION } from './handshake.js';
export { Rendezvous, type RendezvousOptions } from './rendezvous.js';
export { joinHead, type JoinedRank, type JoinOptions, type ReadyOptions } from './join.js';
export { ControlLink, type LinkClosed, type MessageHandler } from './control_link.js';
export {
  errorOfRemote,
  remoteErrorOf,
  type ControlMessage,
  type ControlMessageOf,
  type RemoteError,
} from './messages.js';
export { worldFromEnv, type World } from './world.js';
