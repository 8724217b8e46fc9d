/** A nats-server of one's own, with what it keeps in a folder. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { UsageError } from '../../lib/commands/base/context.js';

/** It listens. */
export interface StartedNats {
  readonly url: string;
  close(): Promise<void>;
}

/** At any free port. @throws UsageError: there is none on the PATH */
export async function startNats(folder: string): Promise<StartedNats> {
  const args = ['-js', '-sd', join(folder, 'nats'), '-a', '127.0.0.1', '-p', '-1'];
  const child = spawn('nats-server', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const close = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  return { url: `nats://127.0.0.1:${await portOf(child)}`, close };
}

async function portOf(child: ChildProcess): Promise<string> {
  const failed = once(child, 'error').then(() => {
    throw new UsageError('no nats-server is on the PATH; install one of 2.14 or later, or give --buses local');
  });
  failed.catch(() => undefined);
  const lines = createInterface({ input: child.stderr! });
  const port = (async () => {
    for await (const line of lines) {
      const [, found] = /client connections on .*:(\d+)$/.exec(line) ?? [];
      if (found !== undefined) return found;
    }
    throw new UsageError('nats-server ended before it listened; run it by hand to see why');
  })();
  const found = await Promise.race([port, failed]);
  child.stderr!.resume();
  return found;
}
