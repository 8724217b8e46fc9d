/** Runs a load: sends each request when it is due, whether or not earlier ones are answered, and collects what came of them. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchLoopDelay, type LoopDelay } from './client/loop_delay.js';
import type { OpenAiClient } from './client/openai_client.js';
import { timesFrom, type RequestRecord } from './figures/record.js';
import { ServeBenchError } from './load/errors.js';
import { promptAfter, type Answer, type Conversation, type Prompt } from './load/conversation.js';
import { Slots } from './load/slots.js';

/** The longest that a timer counts. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What is sent, when, and how. */
export interface LoadPlan {
  readonly conversations: readonly Conversation[];
  /** When each conversation begins, in milliseconds from the start. */
  readonly arrivalsMs: readonly number[];
  /** Conversations at a time; Infinity: as they come. */
  readonly maxConcurrency: number;
  readonly bodyOf: (prompt: Prompt, maxTokens: number) => Buffer;
}

/** What came of a load. */
export interface LoadRun {
  /** In the order of sending. */
  readonly records: readonly RequestRecord[];
  /** From the start to the end of the last answer. */
  readonly durationMs: number;
  readonly loopDelay: LoopDelay;
}

/** Aborting `signal` ends all requests: they are told as cancelled, and later turns aren't sent. `onRecord` hears of each as it ends. */
export async function runLoad(
  plan: LoadPlan,
  client: OpenAiClient,
  signal: AbortSignal,
  onRecord: (record: RequestRecord) => void = () => undefined,
): Promise<LoadRun> {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // a listener per pause
  const onAbort = (): void => {
    stop.abort();
    client.close();
  };
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const loopDelay = watchLoopDelay();
  try {
    const load = new RunningLoad(plan, client, stop.signal, onAbort, onRecord);
    await load.run();
    const records = [...load.records].sort((a, b) => a.startMs - b.startMs);
    return { records, durationMs: load.elapsedMs(), loopDelay: loopDelay() };
  } finally {
    loopDelay();
    signal.removeEventListener('abort', onAbort);
  }
}

class RunningLoad {
  readonly records: RequestRecord[] = [];
  private readonly slots: Slots;
  /** What is sent first of each conversation is made before anything is measured. */
  private readonly firstBodies: Buffer[];
  private readonly originMs: number;
  /** What no further request can mend; the first of it. */
  private failure: Error | null = null;

  constructor(
    private readonly plan: LoadPlan,
    private readonly client: OpenAiClient,
    private readonly signal: AbortSignal,
    /** Aborts the signal, and whatever is under way. */
    private readonly end: () => void,
    private readonly onRecord: (record: RequestRecord) => void,
  ) {
    this.slots = new Slots(plan.maxConcurrency);
    this.firstBodies = plan.conversations.map(({ turns: [first] }) => plan.bodyOf(first!.said, first!.maxTokens));
    this.originMs = performance.now();
  }

  elapsedMs(): number {
    return performance.now() - this.originMs;
  }

  async run(): Promise<void> {
    const { conversations, arrivalsMs } = this.plan;
    const order = arrivalsMs.map((_, i) => i).sort((a, b) => arrivalsMs[a]! - arrivalsMs[b]!);
    const running: Promise<void>[] = [];
    for (const index of order) {
      await this.until(arrivalsMs[index]!);
      if (this.signal.aborted) break;
      running.push(this.hold(conversations[index]!, index));
    }
    await Promise.all(running);
    if (this.failure !== null) throw this.failure;
  }

  private async hold(conversation: Conversation, index: number): Promise<void> {
    await this.slots.take();
    try {
      if (!this.signal.aborted) await this.converse(conversation, index);
    } catch (error) {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
      this.end();
    } finally {
      this.slots.give();
    }
  }

  private async converse({ turns }: Conversation, conversation: number): Promise<void> {
    let prompt: Prompt | null = null;
    let answer: Answer | null = null;
    let plannedMs = this.plan.arrivalsMs[conversation]!;
    let allowedMs = this.elapsedMs();
    for (const [turn, { said, maxTokens, thinkMs }] of turns.entries()) {
      if (turn > 0) plannedMs = allowedMs = this.elapsedMs() + thinkMs;
      prompt = promptAfter(prompt, answer, said);
      if (prompt === null)
        throw new ServeBenchError('NO_TOKEN_IDS', 'an answer came without token ids; give --prompts text');
      const body = turn === 0 ? this.firstBodies[conversation]! : this.plan.bodyOf(prompt, maxTokens);
      if (turn > 0) await this.until(plannedMs);
      if (this.signal.aborted) return;
      const exchange = timesFrom(this.originMs, await this.client.complete(body));
      const promptIds = prompt.kind === 'tokens' ? prompt.tokenIds : null;
      const hasLaterTurns = turn < turns.length - 1;
      const record = { conversation, turn, plannedMs, allowedMs, promptIds, hasLaterTurns, ...exchange };
      this.records.push(record);
      this.onRecord(record);
      answer = exchange.answer;
      if (answer === null) return; // what follows would answer nothing
    }
  }

  private async until(ms: number): Promise<void> {
    for (;;) {
      const left = Math.min(ms - this.elapsedMs(), MAX_TIMER_MS);
      if (left <= 0 || this.signal.aborted) return;
      await sleep(left, undefined, { signal: this.signal }).catch(() => undefined); // the caller looks at the signal
    }
  }
}
