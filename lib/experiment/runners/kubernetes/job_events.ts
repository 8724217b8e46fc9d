/** Why a Job has no pod: the cluster says it in events alone. */
import { setTimeout as delay } from 'node:timers/promises';
import { printable } from '../../../../base/foreign_text.js';
import type { KubernetesApi } from '../../../kubernetes/api/kubernetes_api.js';

interface EventList {
  readonly items: readonly { readonly reason?: string; readonly message?: string }[];
}

const MAX_CHARS = 300;

/** Asks every `eachMs` and resolves once a pod was refused, with why and what to do; never where the signal is aborted before. */
export async function whyNoPod(
  api: KubernetesApi,
  core: string,
  job: string,
  eachMs: number,
  signal: AbortSignal,
): Promise<string> {
  const path = `${core}/events?fieldSelector=${encodeURIComponent(`involvedObject.name=${job}`)}`;
  for (;;) {
    await delay(eachMs, undefined, { signal }).catch(() => undefined);
    const events = signal.aborted ? null : await api.ask<EventList>({ method: 'GET', path, signal }).catch(() => null);
    if (signal.aborted) return new Promise(() => undefined);
    const refused = events?.items.find(({ reason }) => reason === 'FailedCreate');
    if (refused === undefined) continue;
    const why = printable(refused.message ?? 'FailedCreate', MAX_CHARS);
    return `the cluster makes no pod for the run (${why}); ask for less, or change the quota or policy of the namespace`;
  }
}
