/** Why a Job has no pod: the cluster says it in events alone. */
import { setTimeout as delay } from 'node:timers/promises';
import { printable } from '../../../../base/foreign_text.js';
import type { KubernetesApi } from '../../../kubernetes/api/kubernetes_api.js';

interface EventList {
  readonly items: readonly { readonly reason?: string; readonly message?: string }[];
}

const MAX_CHARS = 300;

/** What will be as it is: the cluster's own rules. Quotas have room again once others end, and the Job is tried again by the cluster. */
const isForGood = (message: string): boolean =>
  /forbidden|denied|is invalid/i.test(message) && !/exceeded quota/i.test(message);

/**
 * Asks every `eachMs` and resolves once a pod was refused for good, with why and what to do; never where the signal is aborted before. `onWait`: whenever the
 * cluster says why there is none yet.
 */
export async function whyNoPod(
  api: KubernetesApi,
  core: string,
  job: string,
  eachMs: number,
  signal: AbortSignal,
  onWait: (why: string) => void,
): Promise<string> {
  const path = `${core}/events?fieldSelector=${encodeURIComponent(`involvedObject.name=${job}`)}`;
  for (;;) {
    await delay(eachMs, undefined, { signal }).catch(() => undefined);
    const events = signal.aborted ? null : await api.ask<EventList>({ method: 'GET', path, signal }).catch(() => null);
    if (signal.aborted) return new Promise(() => undefined);
    const refused = events?.items.filter(({ reason }) => reason === 'FailedCreate') ?? [];
    const said = refused.map(({ message }) => message ?? 'FailedCreate');
    const last = said.find(isForGood) ?? said.at(-1);
    if (last === undefined) continue;
    const why = printable(last, MAX_CHARS);
    if (!isForGood(last)) {
      onWait(why);
      continue;
    }
    return `the cluster makes no pod for the run (${why}); ask for less, or change the policy of the namespace`;
  }
}
