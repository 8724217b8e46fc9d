/** The inside of a process or thread of the benchmark: it answers orders one after another and dies with its parent. */
import { parentPort } from 'node:worker_threads';
import { remoteErrorOf, type RemoteError } from '../../../comm/base/errors.js';
import type { Handlers } from './orders.js';

/** What the parent sends: the name of a handler and its argument. */
export interface Order {
  readonly name: string;
  readonly order: unknown;
}

/** What goes back: the handler's result, null for none, or its error. */
export type Answer = { readonly ok: unknown } | { readonly failed: RemoteError };

/** Serves the parent until it is gone; then nothing here is worth an orderly end. */
export function serve<O extends { readonly [K in keyof O]: { order: unknown; answer: unknown } }>(
  handlers: Handlers<O>,
): void {
  const known = handlers as unknown as Readonly<Record<string, (order: unknown) => unknown>>;
  if (parentPort !== null) {
    const port = parentPort;
    port.on('message', ({ name, order }: Order) => {
      void answer(known, name, order).then((reply) => port.postMessage(reply));
    });
    return;
  }
  process.on('SIGINT', () => undefined); // Ctrl-C goes to the whole group; the parent ends its children
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  process.on('message', ({ name, order }: Order) => {
    void answer(known, name, order).then((reply) => process.send!(reply));
  });
}

async function answer(
  handlers: Readonly<Record<string, (order: unknown) => unknown>>,
  name: string,
  order: unknown,
): Promise<Answer> {
  try {
    return { ok: (await handlers[name]!(order)) ?? null };
  } catch (error) {
    return { failed: remoteErrorOf(error) };
  }
}
