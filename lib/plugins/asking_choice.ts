/** How a plug-in's replica choice asks the other ranks, and how long it may take. E experts. */
import type { GatherCounts } from '../../experts/placement/replica_choice.js';
import { failed, givenLater, kindOf, type Owner } from './calls.js';

/** One choice of one layer. */
interface ChoiceCall {
  /** It said that it asks all ranks in each layer. */
  readonly asksAll: boolean;
  readonly moeLayer: number;
  readonly numExperts: number;
  /** Of the step. */
  readonly signal: AbortSignal | undefined;
}

interface RunningCall extends ChoiceCall {
  /** Ends the wait: it took too long, or the step was given up. */
  readonly giveUp: (error: unknown) => void;
  /** Why it could not ask: no fault of the plug-in. Null: it could, or didn't try. */
  lost: { readonly error: unknown } | null;
  /** Null while it waits for other ranks, which have a limit of their own. */
  timer: NodeJS.Timeout | null;
}

/** One choice at a time. */
export class AskingChoice {
  private running: RunningCall | null = null;

  /** `ask` is how the rank itself asks. */
  constructor(
    private readonly owner: Owner,
    private readonly ask: GatherCounts,
    private readonly timeoutMs: number,
  ) {}

  /** What the plug-in asks by: with counts [E], while it chooses. The step's signal ends it, whatever the plug-in gives. @throws PluginError PLUGIN_FAILED */
  readonly gather = (counts_E: Int32Array): Promise<readonly Int32Array[]> => {
    const gathering = this.gathered(counts_E);
    gathering.catch(() => undefined); // nobody may wait for it
    return gathering;
  };

  /** Calls the plug-in. @throws PluginError PLUGIN_FAILED; what asking threw; the signal's reason */
  async during<T>(call: ChoiceCall, choose: () => T | Promise<T>): Promise<T> {
    const { moeLayer, signal } = call;
    const where = `in MoE layer ${moeLayer}`;
    let giveUp!: (error: unknown) => void;
    const late = new Promise<never>((_, reject) => (giveUp = reject));
    late.catch(() => undefined); // most end in time
    const running: RunningCall = { ...call, giveUp, lost: null, timer: null };
    const onAbort = (): void => giveUp(signal!.reason);
    this.running = running;
    signal?.addEventListener('abort', onAbort, { once: true });
    this.startClock(running);
    try {
      return await Promise.race([givenLater(this.owner, where, choose), late]);
    } catch (error) {
      if (running.lost !== null) throw running.lost.error;
      throw error;
    } finally {
      clearTimeout(running.timer ?? undefined);
      signal?.removeEventListener('abort', onAbort);
      this.running = null;
    }
  }

  private startClock(running: RunningCall): void {
    const text = `did not choose ${this.timeoutMs} ms long in MoE layer ${running.moeLayer}; it must not wait for anything that may not come`;
    running.timer = setTimeout(() => running.giveUp(failed(this.owner, text)), this.timeoutMs);
  }

  private async gathered(counts_E: unknown): Promise<readonly Int32Array[]> {
    const { running } = this;
    if (running === null) throw failed(this.owner, `asked all ranks while it had nothing to choose; ask within choose`);
    const where = `in MoE layer ${running.moeLayer}`;
    if (!running.asksAll) {
      throw failed(this.owner, `asked all ranks ${where}; make an object with asksAll: true, so that all of them ask`);
    }
    if (!(counts_E instanceof Int32Array) || counts_E.length !== running.numExperts) {
      const text = `asked with ${kindOf(counts_E)} ${where}; give an Int32Array of ${running.numExperts}, a count for each expert`;
      throw failed(this.owner, text);
    }
    clearTimeout(running.timer ?? undefined);
    running.timer = null;
    try {
      return await this.ask(counts_E, running.signal);
    } catch (error) {
      running.lost ??= { error };
      throw error;
    } finally {
      if (this.running === running) this.startClock(running);
    }
  }
}
