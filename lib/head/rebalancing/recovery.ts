/**
 * After ranks were lost, the others take over the experts that nobody holds any more, while no step runs: a step runs again when every expert has a home.
 * Why: docs/decisions/losses.md#losses-that-are-made-good
 */
import { InternalError } from '../../../base/coded_error.js';
import { copiesFor } from '../../../experts/layer/migration_plan.js';
import type { LoadWindow } from '../../../experts/load/load_window.js';
import { findHomes, homelessIn, type LayerExpert } from '../../../experts/placement/homes.js';
import type { LivePlacement } from '../../../experts/placement/live_placement.js';
import { withLayers, type Placement } from '../../../experts/placement/placement.js';
import type { GatherFailure } from '../../job/gathering.js';
import type { StepRunner } from '../../job/step_runner.js';
import { holdersOf, type Members } from '../../job/members.js';
import { expertOf } from '../../model/spec/slices.js';
import { moeLayersOf, type ModelSpec } from '../../model/spec/spec.js';
import { EngineError } from '../../protocol/errors.js';
import type { MoveLimits } from '../../protocol/rank_job.js';
import type { Recovered } from './experts_event.js';
import { withDigests, type KnownExperts } from './expert_copies.js';

/** Whose experts are taken over. */
export interface RecoveryOptions extends KnownExperts {
  readonly job: Pick<StepRunner, 'move' | 'gather'> & KnownExperts['job'];
  /** What the job runs with: changed here when experts have new homes. */
  readonly placement: LivePlacement;
  /** Of the last steps: what is hot goes to who carries least. */
  readonly window: Pick<LoadWindow, 'load_LE'>;
  /** By rank, what each computes in the same time; undefined: all alike. */
  readonly capacities: () => readonly number[] | undefined;
  readonly limits: Pick<MoveLimits, 'bytesPerStep'>;
}

/** `abandoned`: ranks came or went meanwhile, so that it has to begin anew. */
export type RecoveryOutcome =
  { readonly kind: 'whole' } | ({ readonly kind: 'recovered' } & Recovered) | { readonly kind: 'abandoned' };

/** What is known of who can take experts over. */
interface Attempt {
  readonly members: Members;
  readonly rooms: Map<number, number>;
  /** By rank that can't read them: why. */
  readonly unable: Map<number, GatherFailure>;
}

/** One of a job whose losses are made good. */
export class Recovery {
  /** What was found to be whole. */
  private whole: Placement | null = null;

  constructor(private readonly options: RecoveryOptions) {}

  /** @throws InternalError where a step would run without some expert */
  check(): void {
    const { left } = this.options.placement;
    if (left === this.whole) return;
    const [lacking] = homelessIn(left);
    if (lacking !== undefined) {
      throw new InternalError(`a step would run without expert ${lacking.logical} of MoE layer ${lacking.moeLayer}`);
    }
    this.whole = left;
  }

  /**
   * Finds homes for experts that have none. No step may run. A rank that can't take what it should is asked for less, and others for more.
   * @throws EngineError NO_ROOM, EXPERTS_LOST: nobody can; what {@link StepRunner.gather} throws
   */
  async run(members: Members): Promise<RecoveryOutcome> {
    const startMs = performance.now();
    const attempt: Attempt = { members, rooms: new Map(), unable: new Map() };
    const { placement } = this.options;
    const numExperts = wholeExperts(homelessIn(placement.left), this.options.spec).length;
    if (numExperts === 0) return { kind: 'whole' };
    for (;;) {
      const outcome = await this.try(this.homes(attempt), members.epoch);
      if (outcome === 'abandoned') return { kind: 'abandoned' };
      if (outcome.length === 0) return { kind: 'recovered', numExperts, recoveryMs: performance.now() - startMs };
      for (const failure of outcome) {
        if (failure.room === null) attempt.unable.set(failure.rank, failure);
        else attempt.rooms.set(failure.rank, failure.room);
      }
    }
  }

  /** Of those who may hold experts, and where that isn't enough, of all. */
  private homes({ members, rooms, unable }: Attempt): Placement {
    const { placement, window } = this.options;
    const capacities = this.options.capacities();
    const among = (ranks: Iterable<number>) => {
      const able = [...ranks].filter((rank) => !unable.has(rank));
      return findHomes({ current: placement.left, ranks: able, rooms, load_LE: window.load_LE, capacities });
    };
    const chosen = among(holdersOf(members));
    if (chosen.homeless.length === 0) return chosen.next;
    const last = among(members.present);
    if (last.homeless.length === 0) return last.next;
    throw this.lost(last.homeless, [...unable.values()]);
  }

  /** Has ranks read what they lack of a placement; which of them couldn't. */
  private async try(wanted: Placement, epoch: number): Promise<readonly GatherFailure[] | 'abandoned'> {
    const { job, placement, limits } = this.options;
    const { left } = placement;
    const version = placement.version + 1;
    const changed = [...left.phy2log.keys()].filter((moeLayer) => left.phy2log[moeLayer] !== wanted.phy2log[moeLayer]);
    const layers = changed.map((moeLayer) => ({ moeLayer, phy2log: wanted.phy2log[moeLayer]! }));
    const copies = withDigests(copiesFor(left, wanted, changed, left.numRanks), this.options);
    if (!job.move({ kind: 'prepare', order: { version, layers, copies, ...limits } }, epoch)) return 'abandoned';
    const outcome = await job.gather(version, epoch);
    if (outcome.kind === 'abandoned') return 'abandoned';
    const isDone = outcome.failures.length === 0;
    if (!job.move({ kind: isDone ? 'commit' : 'drop', version }, epoch)) return 'abandoned';
    if (isDone) placement.commit(withLayers(placement.whole, version, layers));
    return outcome.failures;
  }

  private lost(experts: readonly LayerExpert[], failures: readonly GatherFailure[]): EngineError {
    const { spec } = this.options;
    const named = namesOf(wholeExperts(experts, spec), moeLayersOf(spec));
    const [first] = failures;
    if (first === undefined) {
      const text = `the ranks that are left have no room for ${named}, which lost ranks held`;
      return new EngineError('NO_ROOM', `${text}; start the job again with more ranks or more memory`);
    }
    const text = `no rank that is left can read ${named}, which lost ranks held (rank ${first.rank}: ${first.error.code}: ${first.error.reason})`;
    const advice = 'look at the model folder and start the job again';
    return new EngineError('EXPERTS_LOST', `${text}; ${advice}`, { rank: first.rank });
  }
}

/** The experts of which some slices are named, each once. */
function wholeExperts(slices: readonly LayerExpert[], spec: ModelSpec): LayerExpert[] {
  const all = slices.map(({ moeLayer, logical }) => ({ moeLayer, logical: expertOf(spec, logical) }));
  const isSame = (a: LayerExpert, b: LayerExpert | undefined): boolean =>
    a.moeLayer === b?.moeLayer && a.logical === b.logical;
  return all.filter((expert, i) => !isSame(expert, all[i - 1])); // slices of an expert follow each other
}

const MAX_NAMED = 3;

/** At most so many layers, as users number them. */
function namesOf(experts: readonly LayerExpert[], layers: readonly number[]): string {
  const byLayer = [...new Set(experts.map(({ moeLayer }) => moeLayer))];
  const named = byLayer.slice(0, MAX_NAMED).map((moeLayer) => {
    const own = experts.filter((each) => each.moeLayer === moeLayer).map(({ logical }) => logical);
    return `${own.length === 1 ? 'expert' : 'experts'} ${own.join(', ')} of layer ${layers[moeLayer]}`;
  });
  const others = byLayer.length - named.length;
  return [...named, ...(others > 0 ? [`those of ${others} more layers`] : [])].join('; ');
}
