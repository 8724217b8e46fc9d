/** Requests during which a part of a cluster dies at a message: the source of what moves, its target, the router or the bus. */
import { expect } from 'chai';
import type { Answer } from './client.js';
import type { LiveInstance } from './live_instance.js';
import type { Message } from './messages.js';
import { askAndMove } from './moved_request.js';
import { WholeCluster, type ClusterSetup } from './whole_cluster.js';

/** Who dies. */
export const VICTIMS = ['source', 'target', 'router', 'bus'] as const;
export type Victim = (typeof VICTIMS)[number];

/** A request that goes on in another instance. */
export interface Scene {
  readonly name: string;
  /** Two instances. */
  readonly cluster: ClusterSetup;
  readonly body: object;
  /** It is moved when so many tokens were told. Null: it is handed over behind its prompt, from the first instance to the second. */
  readonly moveAt: number | null;
}

/** What becomes of one request. */
export interface KillRun {
  /** There was such a message. */
  readonly isReached: boolean;
  readonly answer: Answer;
  /** It went on in the other instance. */
  readonly hasMoved: boolean;
}

/** Longest that a request may take on a machine that does much else. */
const PATIENCE_MS = 40_000;

/** Runs of one scene, in one cluster, in which whoever died is there again before the next. */
export class Kills {
  private constructor(
    readonly scene: Scene,
    private readonly cluster: WholeCluster,
    private readonly expected: readonly number[],
  ) {}

  static async use(scene: Scene, act: (kills: Kills) => Promise<void>): Promise<void> {
    const [alone] = await WholeCluster.alone(scene.cluster.model, [scene.body]);
    expect(alone).to.deep.include({ isWhole: true, error: null });
    await WholeCluster.use(scene.cluster, (cluster) => act(new Kills(scene, cluster, alone!.tokenIds)));
  }

  /** One request, in which `victim` dies before message `n`, and that all is well then. `n`: Infinity: nobody does. */
  async run(victim: Victim, n: number): Promise<KillRun> {
    const { cluster } = this;
    const numStories = cluster.stories.length;
    const answer = await this.ask((i, source, target) => i === n && this.kill(victim, source, target));
    cluster.messages.stop();
    const isReached = cluster.messages.passed.length > n;
    const story = (): string => this.storyOf(victim, n, answer);
    this.check(answer, isReached ? victim : null, story);
    await cluster.checkIdle(story);
    await cluster.mend();
    if (!answer.isWhole) {
      const again = await cluster.ask(this.scene.body);
      expect(again.tokenIds, `sent again: ${story()}`).to.deep.equal(this.expected);
      await cluster.checkIdle(story);
    }
    const moves = cluster.stories.slice(numStories).flatMap((each) => each.moves);
    return { isReached, answer, hasMoved: moves.some(({ isDone }) => isDone) };
  }

  /** What passes where nobody dies. */
  async messages(): Promise<readonly Message[]> {
    await this.run('bus', Infinity);
    return [...this.cluster.messages.passed];
  }

  /**
   * It is whole, or refused before its first token where an instance died. With one router, and no other to go on: what its client has is right as far as it
   * goes. @throws AssertionError
   */
  private check(answer: Answer, dead: Victim | null, story: () => string): void {
    const isRefused = answer.status === 503 && answer.tokenIds.length === 0 && answer.error !== null;
    if (dead !== 'router' && (dead === null || dead === 'bus' || !isRefused)) {
      expect(answer, story()).to.deep.include({ tokenIds: this.expected, isWhole: true, error: null });
      return;
    }
    const { tokenIds, isWhole, error } = answer;
    expect(tokenIds, story()).to.deep.equal(this.expected.slice(0, tokenIds.length));
    if (!isWhole) expect(error, story()).to.be.a('string');
  }

  private async ask(at: (n: number, source: LiveInstance, target: LiveInstance) => unknown): Promise<Answer> {
    const { cluster, scene } = this;
    const { messages, instances } = cluster;
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const begin = (source: LiveInstance, target: LiveInstance): void => messages.count((n) => at(n, source, target));
    if (scene.moveAt !== null) return askAndMove(cluster, scene.body, { at: scene.moveAt, moving: begin, signal });
    begin(instances[0]!, instances[1]!);
    return cluster.ask(scene.body, { signal });
  }

  private kill(victim: Victim, source: LiveInstance, target: LiveInstance): void {
    switch (victim) {
      case 'source':
        return source.kill();
      case 'target':
        return target.kill();
      case 'router':
        return this.cluster.killRouter();
      case 'bus':
        return this.cluster.killBus();
    }
  }

  private storyOf(victim: Victim, n: number, answer: Answer): string {
    const lines = this.cluster.messages.passed.map(({ kind, at, what }, i) => `${i} ${kind} ${at} ${what}`);
    return [`${this.scene.name}: ${victim} dies at message ${n}`, JSON.stringify(answer), ...lines].join('\n');
  }
}
