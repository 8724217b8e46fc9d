/** Signals that take time from a process. */
import { setTimeout as delay } from 'node:timers/promises';

/** A process that is gone already is no error: the job may have ended it. */
export function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Stopped for so long. */
export async function stopFor(pid: number, ms: number, signal: AbortSignal): Promise<void> {
  signalTo(pid, 'SIGSTOP');
  await delay(ms, undefined, { signal }).catch(() => undefined);
  signalTo(pid, 'SIGCONT');
}

/** A turn of a process that is slow: short beside the time in which a peer is missed, long beside that of a signal. */
const TURN_MS = 10;

/** Half of the time stopped, in short turns, for so long: everything takes twice its time. */
export async function slowFor(pid: number, ms: number, signal: AbortSignal): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end && !signal.aborted) {
    await stopFor(pid, TURN_MS, signal);
    await delay(TURN_MS, undefined, { signal }).catch(() => undefined);
  }
}
