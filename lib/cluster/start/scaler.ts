/** Has instances of this machine come and go with the load: when, a pure function decides. Why: docs/decisions/cluster.md#instances-come-and-go-by-the-same-number */
import { causeText } from '../../../base/foreign_text.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { InstanceView } from '../base/instance_view.js';
import { countChangeOf, type CountChange, type CountState } from '../routing/moving/instance_count.js';
import { PATIENT } from '../routing/moving/patience.js';

/** Instances that are alike. */
export interface InstanceKind {
  /** Of all that may run at once. */
  readonly names: readonly string[];
  /** The first of them run from the start. */
  readonly numAtStart: number;
  /** So many stay. */
  readonly min: number;
}

/** What it takes. */
export interface ScalerParts {
  readonly kinds: readonly InstanceKind[];
  readonly settings: ExpertwireConfig['router']['elastic'];
  readonly views: () => readonly InstanceView[];
  /** Resolves when it serves and is heard of. Rejects where it doesn't start. */
  readonly add: (name: string) => Promise<void>;
  /** Resolves when it has given its requests away and ended. Never rejects. */
  readonly remove: (name: string) => Promise<void>;
  /** What is done, and why. */
  readonly tell: (text: string) => void;
  /** Milliseconds that never go back. Default: since the process began. */
  readonly clock?: () => number;
}

/** Looks again and again. */
export class Scaler {
  private readonly kinds: readonly KindAtWork[];
  private readonly timer: NodeJS.Timeout;
  private isClosed = false;

  constructor(private readonly parts: ScalerParts) {
    this.kinds = parts.kinds
      .filter(({ names, min }) => min < names.length)
      .map((kind) => ({ ...kind, running: kind.names.slice(0, kind.numAtStart), most: kind.names.length, state: PATIENT, isBusy: false })); // prettier-ignore
    this.timer = setInterval(() => this.look(), parts.settings.interval_ms).unref();
  }

  /** Begins what the load asks for now: of each kind one thing at a time. */
  look(): void {
    for (const kind of this.kinds) if (!kind.isBusy) this.lookAt(kind);
  }

  /** Nothing new begins, and nothing is told any more. Idempotent. */
  close(): void {
    this.isClosed = true;
    clearInterval(this.timer);
  }

  private lookAt(kind: KindAtWork): void {
    const { clock = () => performance.now(), views, settings } = this.parts;
    const all = new Map(views().map((view) => [view.record.id, view]));
    const here = kind.running.flatMap((name) => all.get(name) ?? []);
    const staying = here.filter(({ record, isHealthy }) => isHealthy && !record.isDraining);
    const numAway = kind.running.length - staying.length;
    const { change, state } = countChangeOf(staying, kind.state, clock(), {
      min: numAway === 0 ? kind.min : staying.length, // who is away comes back: until then nobody goes, and nobody comes in its place
      max: kind.most - numAway,
      addBelow: settings.add_below,
      removeAbove: settings.remove_above,
      coolDownMs: settings.cool_down_ms,
    });
    kind.state = state;
    if (change !== null) void this.carryOut(kind, change);
  }

  private async carryOut(kind: KindAtWork, change: CountChange): Promise<void> {
    kind.isBusy = true;
    await (change.kind === 'add' ? this.add(kind, change) : this.remove(kind, change));
    kind.isBusy = false;
  }

  private async add(kind: KindAtWork, { freeness }: CountChange): Promise<void> {
    const { add, settings } = this.parts;
    const name = kind.names.find((each) => !kind.running.includes(each))!; // fewer run than there are names
    this.tell(`${name} is started: ${blocksOf(freeness)} (router.elastic.add_below: ${settings.add_below})`);
    try {
      await add(name);
      kind.running.push(name);
    } catch (error) {
      kind.most = kind.running.length;
      this.tell(
        `warning: no more than ${kind.most} instances run from now on, since ${name} can’t: ${causeText(error)}`,
      );
    }
  }

  private async remove(kind: KindAtWork, change: CountChange & { readonly kind: 'remove' }): Promise<void> {
    const { remove, settings } = this.parts;
    const name = change.instance;
    this.tell(
      `${name} drains and ends: ${blocksOf(change.freeness)} (router.elastic.remove_above: ${settings.remove_above})`,
    );
    await remove(name);
    kind.running.splice(kind.running.indexOf(name), 1);
    this.tell(`${name} has ended`);
  }

  private tell(text: string): void {
    if (!this.isClosed) this.parts.tell(text);
  }
}

interface KindAtWork extends InstanceKind {
  /** Names, the oldest first. */
  readonly running: string[];
  /** That may run; fewer than there are names where one didn't start. */
  most: number;
  state: CountState;
  /** One of them comes or goes. */
  isBusy: boolean;
}

const blocksOf = (freeness: number): string => `${freeness.toFixed(1)} KV blocks are free for each running request`;
