/** Holds the steps of a real engine: a run of tokens goes as far as a test says, however fast the machine is. */
import type { RoutingObserver } from '../../../experts/load/load_recorder.js';

/** An engine's `observer`. Open at first. */
export class StepGate implements RoutingObserver {
  readonly wantsTokens = false;
  /** Steps that may still be committed. */
  private numLeft = Infinity;
  /** Steps that wait. */
  private readonly waiting: (() => void)[] = [];

  /** A step waits. */
  get isHolding(): boolean {
    return this.waiting.length > 0;
  }

  /** Lets so many more steps be committed; the one after them waits, and its tokens with it. */
  closeAfter(numSteps: number): void {
    this.numLeft = numSteps;
  }

  /** One that waits is committed. */
  letOneGo(): void {
    this.waiting.shift()?.();
  }

  /** Holds nothing any more. Before the engine is closed, which waits for its last step. */
  open(): void {
    this.numLeft = Infinity;
    for (const go of this.waiting.splice(0)) go();
  }

  async add(): Promise<void> {
    if (this.numLeft-- > 0) return;
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }
}
