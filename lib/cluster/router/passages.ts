/** Requests that are on their way, by their names. */
import { ClusterError } from '../base/errors.js';
import type { Passage } from './passage/passage.js';
import type { MoveWhy } from './passage/request_story.js';

/** All of one router. */
export class Passages {
  /** Where a client uses a name twice at a time, the later one. */
  private readonly byName = new Map<string, Passage>();

  /** Runs one to its end. @throws what it throws */
  async run(name: string, passage: Passage): Promise<void> {
    this.byName.set(name, passage);
    try {
      await passage.run();
    } finally {
      if (this.byName.get(name) === passage) this.byName.delete(name);
    }
  }

  /** Where a request is answered now; undefined: there is none of that name, null: nowhere yet. */
  instanceOf(name: string): string | null | undefined {
    return this.byName.get(name)?.instance;
  }

  /** Names of requests that are answered by an instance and can move, in the order in which they came. */
  movableAt(instance: string): readonly string[] {
    return [...this.byName].flatMap(([name, passage]) =>
      passage.instance === instance && passage.isMovable ? [name] : [],
    );
  }

  /** Has a request go on elsewhere. @throws ClusterError NO_REQUEST, MOVE_FAILED */
  async move(name: string, to: string, why: MoveWhy): Promise<void> {
    const passage = this.byName.get(name);
    if (passage !== undefined) return passage.move(to, why);
    throw new ClusterError(
      'NO_REQUEST',
      `no request ${name} runs by this router; give the id of one, as X-Request-Id has it`,
    );
  }
}
