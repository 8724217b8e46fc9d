/** Has requests move and roles flip while the router runs: what it does, pure functions decide. Why: docs/decisions/cluster.md#each-router-moves-its-own-requests */
import { causeText } from '../../../base/foreign_text.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Logger } from 'pino';
import type { InstanceView } from '../base/instance_view.js';
import { planMoves, type Move, type MoveSettings } from '../routing/moving/moves.js';
import { PATIENT } from '../routing/moving/patience.js';
import { flipOf, type FlipState } from '../routing/moving/role_flips.js';
import type { InstanceCalls } from './instance_calls.js';
import type { Passages } from './passages.js';
import type { Upstreams } from './upstream/upstreams.js';

/** What it takes. */
export interface MoverParts {
  readonly config: Pick<ExpertwireConfig['router'], 'migration' | 'roles'>;
  readonly views: () => readonly InstanceView[];
  readonly passages: Passages;
  readonly upstreams: Upstreams;
  readonly calls: InstanceCalls;
  readonly clock: () => number;
  readonly log: Logger;
}

/** Looks again and again. */
export class Mover {
  private readonly underway = new Set<Move>();
  private readonly timers: NodeJS.Timeout[] = [];
  private flips: FlipState = PATIENT;
  private isFlipping = false;

  constructor(private readonly parts: MoverParts) {
    const { migration, roles } = parts.config;
    this.timers.push(setInterval(() => this.move(), migration.interval_ms));
    if (roles.policy === 'auto') this.timers.push(setInterval(() => void this.flip(), roles.interval_ms));
  }

  /** Begins what is to move now; who drains gives its requests away whether others may move or not. */
  move(): void {
    const { config, views } = this.parts;
    const { enabled, reasons, request, out_below: outBelow, max_at_once: maxAtOnce } = config.migration;
    const settings: MoveSettings = { reasons: enabled ? reasons : [], request, outBelow, maxAtOnce };
    for (const move of planMoves(views().map(this.ofOwnRequests), settings, [...this.underway]))
      void this.carryOut(move);
  }

  /** Nothing new begins. Idempotent. */
  close(): void {
    for (const timer of this.timers) clearInterval(timer);
  }

  /** Requests of other routers are theirs to move. */
  private readonly ofOwnRequests = (view: InstanceView): InstanceView => {
    const { load, record } = view;
    if (load === null) return view;
    const movable = new Set(this.parts.passages.movableAt(record.id));
    const requests = load.requests.map((each) => ({ ...each, isMovable: each.isMovable && movable.has(each.id) }));
    return { ...view, load: { ...load, requests } };
  };

  private async carryOut(move: Move): Promise<void> {
    const { passages, log } = this.parts;
    const { request, from, to, reason } = move;
    this.underway.add(move);
    try {
      await passages.move(request, to, reason);
      log.info({ request_id: request, from, to, reason }, 'a request moved');
    } catch (error) {
      log.warn({ request_id: request, from, to, reason, why: causeText(error) }, 'a request did not move');
    }
    this.underway.delete(move);
  }

  private async flip(): Promise<void> {
    if (this.isFlipping) return;
    const { config, views, upstreams, calls, clock, log } = this.parts;
    const { flip, state } = flipOf(views(), this.flips, clock(), config.roles.cool_down_ms);
    this.flips = state;
    const upstream = upstreams.get(flip?.instance ?? '');
    if (flip === null || upstream === undefined) return;
    this.isFlipping = true;
    try {
      await calls.setRole(upstream, flip.to);
      log.info({ instance: flip.instance, role: flip.to }, 'an instance took another role');
    } catch (error) {
      log.warn({ instance: flip.instance, role: flip.to, why: causeText(error) }, 'an instance kept its role');
    }
    this.isFlipping = false;
  }
}
