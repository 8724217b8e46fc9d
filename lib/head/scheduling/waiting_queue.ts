import type { WaitingView } from './policy.js';
import type { Progress } from './progress.js';

/** Requests that wait, in order of arrival, behind those that ran already. */
export class WaitingQueue {
  private readonly requests: Progress[] = [];
  private readonly bySequence = new Map<number, Progress>();

  /** How many wait. */
  get size(): number {
    return this.requests.length;
  }

  /** All of them. */
  get all(): readonly Progress[] {
    return this.requests;
  }

  /** One that came; undefined: it doesn't wait. */
  find(sequence: number): Progress | undefined {
    return this.bySequence.get(sequence);
  }

  /** It came last. */
  add(request: Progress): void {
    this.requests.push(request);
    this.bySequence.set(request.sequence, request);
  }

  /** They ran already, and wait before all others. */
  addAgain(requests: readonly Progress[]): void {
    this.requests.unshift(...requests);
    for (const request of requests) this.bySequence.set(request.sequence, request);
  }

  /** It waits no more, and those that came before it go on waiting. */
  admit(request: Progress): void {
    for (const before of this.requests.slice(0, this.requests.indexOf(request))) before.numOvertaken++;
    this.remove(request.sequence);
  }

  /** It waits no more. Nothing happens where it didn't. */
  remove(sequence: number): void {
    const request = this.bySequence.get(sequence);
    if (request === undefined) return;
    this.bySequence.delete(sequence);
    this.requests.splice(this.requests.indexOf(request), 1);
  }
}

/** What a policy sees of one. */
export const waitingViewOf = ({ sequence, priority = 0, numOvertaken }: Progress): WaitingView => ({
  ...{ sequence, priority, numOvertaken },
});
