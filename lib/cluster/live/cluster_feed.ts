/** Follows a router for the live page. What it keeps is bounded; messages are made when somebody asks for them. Why: docs/decisions/page.md#history-is-kept-and-messages-are-made-on-demand */
import { Ring } from '../../server/live/ring.js';
import type { InstanceView } from '../base/instance_view.js';
import type { Bus, BusEvent } from '../bus/bus.js';
import type { MoveStory, RequestStory } from '../router/passage/request_story.js';
import { ClusterSeconds } from './cluster_seconds.js';
import { levelsOf, liveInstance } from './live_instance.js';
import {
  CLUSTER_LIMITS,
  type ClusterDelta,
  type ClusterEvent,
  type ClusterNow,
  type ClusterSnapshot,
  type LiveRouter,
} from './messages.js';

/** What is followed. */
export interface ClusterFeedOptions {
  readonly router: LiveRouter;
  readonly views: () => readonly InstanceView[];
  readonly bus: Pick<Bus, 'watch'>;
  /** Milliseconds since 1970; never goes back. Default: the system's clock, as it was when the process began, and what passed since then. */
  readonly clock?: () => number;
}

const TOO_MANY = 429;

/** What is told of a router. Starts with what happens after it was made. */
export class ClusterFeed {
  private readonly clock: () => number;
  private readonly seconds: ClusterSeconds;
  private readonly events = new Ring<ClusterEvent>(CLUSTER_LIMITS.numEvents);
  private readonly unwatch: () => void;
  private readonly totals = {
    ...{ numRequests: 0, numOutputTokens: 0, numPromptTokens: 0, numCachedTokens: 0, numMoves: 0 },
    ...{ numRetries: 0, numResumes: 0, numRejected: 0 },
  };
  /** What the last delta ended with. */
  private told = { numSeconds: 0, numEvents: 0 };
  /** Roles, by id: one may change. */
  private readonly roles = new Map<string, string>();

  constructor(private readonly options: ClusterFeedOptions) {
    this.clock = options.clock ?? (() => performance.timeOrigin + performance.now());
    this.seconds = new ClusterSeconds(() => levelsOf(options.views()));
    this.seconds.roll(this.clock());
    this.unwatch = options.bus.watch((event) => this.hear(event));
  }

  /** Output tokens were passed on. */
  tokens(numOutputTokens: number): void {
    this.count({ numOutputTokens });
  }

  /** A request is over. */
  over(story: RequestStory): void {
    if (story.asked.endpoint === null) return; // it only looked
    const { numPromptTokens, numCachedTokens, numRetries, numResumes, firstTokenMs, moves } = story;
    const done = moves.filter(({ isDone }) => isDone);
    this.count({ numRequests: 1, numPromptTokens, numCachedTokens, numMoves: done.length });
    this.seconds.keep();
    const numRejected = story.status === TOO_MANY ? 1 : 0;
    const { totals } = this;
    totals.numRetries += numRetries;
    totals.numResumes += numResumes;
    totals.numRejected += numRejected;
    if (firstTokenMs !== null) this.seconds.ttft.push(firstTokenMs, this.clock());
    for (const move of done) if (move.why !== 'apart') this.tell(moveText(move));
    if (numResumes > 0) this.tell(`${story.instances.at(-1) ?? '?'} went on with ${story.asked.id}`);
  }

  /** Everything that is kept. */
  snapshot(): ClusterSnapshot {
    this.seconds.roll(this.clock());
    const { router } = this.options;
    return { router, now: this.now(), seconds: this.seconds.ended.items, events: this.events.items };
  }

  /** The next delta tells what is new since this moment. */
  start(): void {
    this.delta();
  }

  /** What is new since the last delta, whoever asked for that. */
  delta(): ClusterDelta {
    this.seconds.roll(this.clock());
    const { seconds, events, told } = this;
    this.told = { numSeconds: seconds.ended.count, numEvents: events.count };
    return { now: this.now(), seconds: seconds.ended.after(told.numSeconds), events: events.after(told.numEvents) };
  }

  /** Follows nobody any more. Idempotent. */
  close(): void {
    this.unwatch();
  }

  private count(more: Partial<Record<CountedName, number>>): void {
    this.seconds.roll(this.clock());
    this.seconds.add(more);
    for (const [name, count] of Object.entries(more)) this.totals[name as CountedName] += count;
  }

  private hear(event: BusEvent): void {
    if (event.kind === 'gone') {
      this.roles.delete(event.instance);
      this.tell(`${event.instance} ${event.why === 'left' ? 'left' : 'is silent, and taken for gone'}`);
    } else if (event.kind === 'bus') this.tell(event.isUp ? 'the bus is there again' : 'the bus can’t be reached');
    else if (event.kind === 'instance') {
      const { id, role, isDraining } = event.record;
      const before = this.roles.get(id);
      const now = isDraining ? `${role}, draining` : role;
      this.roles.set(id, now);
      if (before !== now) this.tell(before === undefined ? `${id} came (${now})` : `${id} is ${now} now`);
    }
  }

  /** Something happened that a reader of the page is told of. */
  tell(text: string): void {
    this.events.push({ number: this.events.count, atMs: Math.round(this.clock()), text });
  }

  private now(): ClusterNow {
    const nowMs = this.clock();
    const views = this.options.views();
    return {
      ...{ atMs: Math.round(nowMs), ttftMs: this.seconds.ttft.percentiles(nowMs), ...this.totals },
      instances: views.slice(0, CLUSTER_LIMITS.numInstances).map(liveInstance),
      numInstances: views.length,
    };
  }
}

type CountedName = 'numRequests' | 'numOutputTokens' | 'numPromptTokens' | 'numCachedTokens' | 'numMoves';

const moveText = ({ request, from, to, why, ms }: MoveStory): string =>
  `${request} moved from ${from} to ${to} (${why}, ${Math.round(ms)} ms)`;
