/** Which requests go on in other instances. Pure. Why: docs/decisions/cluster.md#moves-one-number-says-who-gives-and-who-takes */
import type { MoveChoice, MoveReason } from '../../../config/router_schema.js';
import type { InstanceView } from '../../base/instance_view.js';
import type { RequestLoad } from '../../base/load_report.js';
import { comesFirst, firstWaiting, freenessOf, type Room } from './freeness.js';
import { inMoveOrder } from './which_request.js';

/** A request that is to go on elsewhere. */
export interface Move {
  readonly request: string;
  readonly from: string;
  readonly to: string;
  readonly reason: MoveReason | 'drain';
}

/** How moves are planned. */
export interface MoveSettings {
  readonly reasons: readonly MoveReason[];
  /** Which of its requests an instance gives away. */
  readonly request: MoveChoice;
  /** Instances with fewer free blocks per running request give some away. */
  readonly outBelow: number;
  /** Moves under way together. */
  readonly maxAtOnce: number;
}

/** An instance, as it will be once all moves are done. */
interface Site {
  readonly view: InstanceView;
  room: Room;
  /** Of the rank with most room. */
  numFreeBlocks: number;
}

/** Moves to begin now. `underway`: those that began and aren't over. */
export function planMoves(
  views: readonly InstanceView[],
  settings: MoveSettings,
  underway: readonly Move[] = [],
): readonly Move[] {
  const sites = views.flatMap(siteOf);
  for (const move of underway) carryOut(sites, move);
  const moves: Move[] = [];
  const begin = (move: Move | null): boolean => {
    if (move === null) return false;
    carryOut(sites, move);
    moves.push(move);
    return true;
  };
  const isFull = (): boolean => underway.length + moves.length >= settings.maxAtOnce;
  while (!isFull() && begin(drained(sites, settings)));
  while (!isFull() && settings.reasons.includes('defragment') && begin(placed(sites, settings)));
  while (!isFull() && begin(balanced(sites, settings)));
  return moves;
}

/** Foreign ones tell nothing, and nothing of theirs can move. */
function siteOf(view: InstanceView): Site[] {
  const { record, load, isHealthy } = view;
  if (load === null || record.kind !== 'own' || !isHealthy) return [];
  const { numKvBlocks, numUsedBlocks, numRunning, requests, numFreeBlocksOfRank } = load;
  const room = { numKvBlocks, numUsedBlocks, numRunning, requests, isDraining: record.isDraining };
  return [{ view, room, numFreeBlocks: numFreeBlocksOfRank }];
}

/** A request leaves one site and counts at the other, where it can't be moved on. */
function carryOut(sites: readonly Site[], { request: id, from, to }: Move): void {
  const source = sites.find(({ view }) => view.record.id === from);
  const target = sites.find(({ view }) => view.record.id === to);
  const request = source?.room.requests.find((each) => each.id === id);
  if (source === undefined || request === undefined) return; // it left already
  source.room = without(source.room, request);
  if (request.isRunning) source.numFreeBlocks += request.numBlocks;
  if (target === undefined || target.room.requests.some((each) => each.id === id)) return;
  target.room = withRequest(target.room, request);
  target.numFreeBlocks -= request.numBlocks;
}

function without(room: Room, request: RequestLoad): Room {
  const requests = room.requests.filter((each) => each !== request);
  if (!request.isRunning) return { ...room, requests };
  const numUsedBlocks = Math.max(room.numUsedBlocks - request.numBlocks, 0);
  return { ...room, requests, numUsedBlocks, numRunning: room.numRunning - 1 };
}

const withRequest = (room: Room, request: RequestLoad): Room => ({
  ...room,
  requests: [...room.requests, { ...request, isRunning: true, isMovable: false }],
  numUsedBlocks: room.numUsedBlocks + request.numBlocks,
  numRunning: room.numRunning + 1,
});

/** Who drains gives all away, the first come first. */
function drained(sites: readonly Site[], { reasons }: MoveSettings): Move | null {
  for (const source of sites.filter(({ room }) => room.isDraining)) {
    const movable = source.room.requests.filter(({ isMovable }) => isMovable);
    for (const request of movable.sort((a, b) => a.arrival - b.arrival)) {
      const target = roomiest(sites, source, request, reasons);
      if (target !== null) return moveOf(request, source, target, 'drain');
    }
  }
  return null;
}

/** One that waits first and finds no room goes where it finds some at once: nothing of it is computed yet. */
function placed(sites: readonly Site[], { reasons }: MoveSettings): Move | null {
  for (const source of sites) {
    const request = firstWaiting(source.room.requests);
    if (request?.isMovable !== true || request.numBlocks <= source.numFreeBlocks) continue;
    const idle = sites.filter(({ room }) => firstWaiting(room.requests) === undefined);
    const target = roomiest(idle, source, request, reasons);
    if (target !== null) return moveOf(request, source, target, 'defragment');
  }
  return null;
}

/** Who has least room gives to who has most, if afterwards both have more than the poorer one has now (of one that only waits, the richer one): so nothing moves to and fro. */
function balanced(sites: readonly Site[], settings: MoveSettings): Move | null {
  const { reasons, outBelow, request: choice } = settings;
  const poor = sites.filter(({ room }) => freenessOf(room, reasons) < outBelow && !room.isDraining);
  for (const source of poor.sort((a, b) => freenessOf(a.room, reasons) - freenessOf(b.room, reasons))) {
    const before = freenessOf(source.room, reasons);
    const reason = reasonOf(source.room, settings);
    if (reason === null) continue;
    for (const request of inMoveOrder(source.room.requests, choice)) {
      if (reasons.includes('priority') && comesFirst(request)) continue; // the others make room for it
      const target = roomiest(sites, source, request, reasons);
      if (target === null) continue;
      const left = freenessOf(without(source.room, request), reasons);
      const given = freenessOf(withRequest(target.room, request), reasons);
      const helps = left > before || !request.isRunning;
      if (helps && given > before) return moveOf(request, source, target, reason);
    }
  }
  return null;
}

/** What makes an instance poor: the first that is enough; null: a reason that isn't asked for. */
function reasonOf(room: Room, { reasons, outBelow }: MoveSettings): MoveReason | null {
  if (freenessOf(room, []) < outBelow) return reasons.includes('balance') ? 'balance' : null;
  const alone = (['defragment', 'priority'] as const).filter((each) => reasons.includes(each));
  return alone.find((each) => freenessOf(room, [each]) < outBelow) ?? alone[0] ?? null;
}

/** Where a request could go on with most room left for everybody; null: nowhere. */
function roomiest(
  sites: readonly Site[],
  source: Site,
  request: RequestLoad,
  reasons: readonly MoveReason[],
): Site | null {
  const { model, fingerprint } = source.view.record;
  const able = sites.filter(({ view: { record }, room, numFreeBlocks }) => {
    const isAlike = record.model === model && record.fingerprint === fingerprint;
    const takes = record.role !== 'prefill' && !room.isDraining && record.id !== source.view.record.id;
    return isAlike && takes && numFreeBlocks > request.numBlocks; // its next token may want one more
  });
  const freeness = ({ room }: Site): number => freenessOf(room, reasons);
  return able.reduce<Site | null>((a, b) => (a === null || freeness(b) > freeness(a) ? b : a), null);
}

const moveOf = ({ id }: RequestLoad, from: Site, to: Site, reason: Move['reason']): Move => ({
  request: id,
  from: from.view.record.id,
  to: to.view.record.id,
  reason,
});
