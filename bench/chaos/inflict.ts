/** One fault, from its beginning until nothing of it is left to come. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Fault } from './plan/fault.js';
import { victimsOf } from './plan/victims.js';
import { signalTo, slowFor, stopFor } from './signals.js';
import type { Site } from './site.js';
import type { Sample } from './watch.js';

/** A fault that came. Times are of `performance.now()`. */
export interface Inflicted {
  readonly fault: Fault;
  /** Null: too few ranks were there. */
  readonly victims: readonly number[] | null;
  /** How the job stood. */
  readonly start: Sample;
  /** Resolves when it is over by itself: a stopped rank goes on, a rank has joined. With what there is to say, or null. */
  readonly over: Promise<string | null>;
}

/** How long a rank may take to give away what it has. */
const LEAVE_MS = 30_000;
/** How long a rank may take to join. */
const JOIN_MS = 60_000;
/** The latest moment at which a newcomer is killed. It takes some hundred milliseconds to start, to load and to link up, and may be in before that. */
const ABORT_MS = 1500;

/** Lets a fault befall the ranks that are there now. `healMs`: when links that were silenced work again. */
export function inflict(fault: Fault, site: Site, healMs: number, signal: AbortSignal): Inflicted {
  const victims = victimsOf(fault, site.members);
  const start = site.watch.now();
  const over = victims === null ? Promise.resolve('too few ranks') : befall(fault, victims, { site, healMs, signal });
  return { fault, victims, start, over };
}

interface Scene {
  readonly site: Site;
  readonly healMs: number;
  readonly signal: AbortSignal;
}

async function befall(
  { kind, ms, draws }: Fault,
  [first, second]: readonly number[],
  scene: Scene,
): Promise<string | null> {
  const { site, healMs, signal } = scene;
  switch (kind) {
    case 'kill':
      signalTo(site.pidOf(first!), 'SIGKILL');
      return lostOf(scene, [first!], healMs);
    case 'stop':
      await stopFor(site.pidOf(first!), ms, signal);
      return null;
    case 'slow':
      await slowFor(site.pidOf(first!), ms, signal);
      return null;
    case 'cut':
      site.relays!.tell({ kind: 'cut', between: [first!, second!] });
      return lostOf(scene, [first!, second!], healMs);
    case 'silence': {
      site.relays!.tell({ kind: 'silence', from: first!, to: second! });
      const end = await lostOf(scene, [first!, second!], healMs);
      site.relays!.tell({ kind: 'heal' });
      return end;
    }
    case 'leave': {
      signalTo(site.pidOf(first!), 'SIGTERM');
      const isGone = (): boolean => !site.members.includes(first!);
      return (await site.watch.until(isGone, LEAVE_MS, signal)) ? null : 'it is still there';
    }
    case 'join':
      return joined(scene);
    case 'abort':
      return aborted(scene, draws[1] * ABORT_MS);
  }
}

/** Until one of these is lost, or isn't there any more for another reason. */
async function lostOf({ site, signal }: Scene, ranks: readonly number[], ms: number): Promise<string | null> {
  const isLost = (): boolean => ranks.some((rank) => !site.members.includes(rank));
  return (await site.watch.until(isLost, ms, signal)) ? null : 'no rank was lost';
}

/** A newcomer is killed so long after its process began; where it was a rank already, until that is noticed. */
async function aborted(scene: Scene, ms: number): Promise<string | null> {
  const { site, signal, healMs } = scene;
  const before = site.members;
  const newcomer = site.join();
  await delay(ms, undefined, { signal }).catch(() => undefined);
  const ranks = site.members.filter((rank) => !before.includes(rank));
  newcomer.kill();
  await newcomer.ended;
  return ranks.length === 0 ? null : lostOf(scene, ranks, healMs);
}

/** Until as many have joined as were to by then, or the newcomer has given up. Its seat tells nothing: it may be that of a rank that is about to be missed. */
async function joined({ site, signal }: Scene): Promise<string | null> {
  const { watch } = site;
  const wanted = watch.numJoined + ++site.numComing;
  const newcomer = site.join();
  const isIn = (): boolean => watch.numJoined >= wanted;
  const over = AbortSignal.any([signal, AbortSignal.timeout(JOIN_MS)]);
  const gaveUp = newcomer.ended.then((words) => `the newcomer ended: ${words.split('\n').at(-1) ?? ''}`);
  const entered = watch.until(isIn, JOIN_MS, over).then((isSo) => (isSo ? null : 'nobody joined'));
  return Promise.race([entered, gaveUp]).finally(() => site.numComing--);
}
