/** Processes or threads of the benchmark, told to work together and ended together. */
import { setTimeout as delay } from 'node:timers/promises';
import { remoteMessage } from '../../../comm/base/errors.js';
import { BenchError, type BenchErrorCode } from '../../base/errors.js';
import type { Runner } from './runner.js';
import type { Answer, Order } from '../base/serve.js';

/** How long others may take to say that they failed too. */
const CAUSE_MS = 500;

/** As many runners as there are ranks, which get orders of type `O` together; one order at a time. */
export class ProcessGroup<O extends { readonly [K in keyof O]: { order: unknown; answer: unknown } }> {
  private readonly children: readonly Child[];

  /** The group owns the runners. */
  constructor(runners: readonly Runner[]) {
    this.children = runners.map((runner) => new Child(runner));
  }

  /**
   * Gives every process its order and returns all answers. @throws BenchError naming the process that is nearest the cause, or the
   * signal's reason. After an error the group is of no more use: close it.
   */
  async ask<K extends keyof O & string>(
    name: K,
    orderOf: (index: number) => O[K]['order'],
    signal: AbortSignal,
  ): Promise<O[K]['answer'][]> {
    signal.throwIfAborted();
    let onAbort: () => void = () => undefined;
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort);
    });
    const answers = this.children.map((child, index) => child.ask({ name, order: orderOf(index) }));
    try {
      return await Promise.race([aborted, allOf(answers)]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Idempotent; returns when every process is gone. None of them has anything to finish. */
  async close(): Promise<void> {
    await Promise.all(this.children.map((child) => child.kill()));
  }
}

/** The answers, or the failure nearest the cause: a process that died makes the others fail as well, and they may say so first. */
async function allOf(answers: readonly Promise<unknown>[]): Promise<unknown[]> {
  const errors: unknown[] = [];
  for (const answer of answers) answer.catch((error: unknown) => errors.push(error));
  try {
    return await Promise.all(answers);
  } catch (first) {
    await Promise.race([Promise.allSettled(answers), delay(CAUSE_MS, undefined, { ref: false })]);
    throw errors.find(isDeath) ?? errors.find((error) => !isLoss(error)) ?? first;
  }
}

const isA =
  (code: BenchErrorCode) =>
  (error: unknown): boolean =>
    error instanceof BenchError && error.code === code;
const isDeath = isA('PROCESS_DIED');
const isLoss = isA('PEER_LOST');

/** Orders to one runner, one at a time. */
class Child {
  private readonly died: Promise<BenchError>;
  private onAnswer: (answer: Answer) => void = () => undefined;

  constructor(private readonly runner: Runner) {
    runner.onAnswer((answer) => this.onAnswer(answer));
    this.died = runner.ended.then((how) => new BenchError('PROCESS_DIED', `${runner.name} ended by ${how}`));
  }

  async ask(order: Order): Promise<unknown> {
    const answered = new Promise<Answer>((resolve) => (this.onAnswer = resolve));
    this.runner.post(order);
    const answer = await Promise.race([answered, this.died]);
    if (answer instanceof BenchError) throw answer;
    if ('ok' in answer) return answer.ok;
    const { failed } = answer;
    const code = failed.code === 'PEER_LOST' ? failed.code : 'RANK_FAILED';
    throw new BenchError(code, `${this.runner.name}: ${remoteMessage(failed)}`);
  }

  async kill(): Promise<void> {
    this.runner.kill();
    await this.died;
  }
}
