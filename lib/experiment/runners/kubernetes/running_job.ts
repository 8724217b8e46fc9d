/** One run's Job, from the request that makes it to the last of it that is gone. */
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { causeText } from '../../../../base/foreign_text.js';
import { writeWhole } from '../../../../base/whole_file.js';
import { KubernetesError } from '../../../kubernetes/api/errors.js';
import type { KubernetesApi } from '../../../kubernetes/api/kubernetes_api.js';
import { podState, type ContainerEnd, type PodState } from '../../../kubernetes/api/pod.js';
import { WatchedPods, type SeenPod } from '../../../kubernetes/api/watched_pods.js';
import type { RunEnd, RunTimes } from '../../base/run.js';
import { endOf } from '../../runs/run_end.js';
import { TIMES_FILE, timesIn, type PrintedLog } from '../../runs/printed_files.js';
import { RUN_FILES } from '../../runs/run_folder.js';
import type { ProcessExit } from '../../runs/run_process.js';
import { whyNoPod } from './job_events.js';
import { runConfigMap, runJob, type RunJob } from './run_objects.js';
import { readRunLog } from './run_log.js';

/** A run, and where its files are. */
export interface RunningJobOptions extends Omit<RunJob, 'deadlineMs'> {
  readonly namespace: string;
  readonly folder: string;
  /** From its program's start. */
  readonly timeoutMs: number;
  /** The cluster has no room for its pod yet, and says why. */
  readonly onWait: (why: string) => void;
  /** What it made couldn't be taken away. */
  readonly onLeft: (why: string) => void;
}

/** A cluster that has no pod for a Job after so long is asked why. */
const ASK_MS = 3000;
/** What is deleted may take so long beyond its grace before it is gone. */
const REMOVAL_MS = 30_000;
const FIRST_LOOK_MS = 50;
const MAX_LOOK_MS = 1000;
const MINUTE_MS = 60_000;
/** More than that Node takes for none. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** How the pod ended: by itself, or by what is told of it. */
interface PodEnd {
  readonly end: ContainerEnd | null;
  readonly problem: string | null;
}

/** Makes it, waits for its end, and takes all of it away. */
export class RunningJob {
  private readonly pods: WatchedPods;
  private readonly watching = new AbortController();
  private isLate = false;

  constructor(
    private readonly api: KubernetesApi,
    private readonly options: RunningJobOptions,
  ) {
    const selector = encodeURIComponent(`app.kubernetes.io/instance=${options.name}`);
    this.pods = new WatchedPods(api, `${this.core}/pods?labelSelector=${selector}`);
  }

  /** How the run ended, though what is left of it can't be taken away. Where `signal` is aborted its process is asked to end first. @throws KubernetesError; `signal`'s reason before the pod began */
  async run(text: string, signal: AbortSignal): Promise<RunEnd> {
    try {
      await this.create(text, signal);
      void this.pods.watch(this.watching.signal);
      return await this.followed(signal);
    } finally {
      await this.remove().catch((error: unknown) => this.options.onLeft(causeText(error)));
      this.watching.abort();
    }
  }

  private async create(text: string, signal: AbortSignal): Promise<void> {
    const { settings, timeoutMs, graceMs } = this.options;
    const deadlineMs = settings.pending_timeout_s * 1000 + timeoutMs + graceMs + MINUTE_MS;
    const run: RunJob = { ...this.options, deadlineMs: Math.min(deadlineMs, MAX_TIMER_MS) };
    const path = `${this.batch}/jobs`;
    const made = await this.api.ask<Made | undefined>({ method: 'POST', path, body: runJob(run), signal });
    const job = made ?? (await this.api.ask<Made>({ method: 'GET', path: `${path}/${run.name}`, signal }));
    const body = runConfigMap(run, job.metadata.uid, text);
    await this.api.ask({ method: 'POST', path: `${this.core}/configmaps`, body, signal });
  }

  private async followed(signal: AbortSignal): Promise<RunEnd> {
    const began = await this.begun(signal);
    if (began.kind === 'ended' && began.end === null) return failed(began.problem);
    const stopping = onAbort(signal, () => void this.stop());
    const late = setTimeout(
      () => {
        this.isLate = true;
        void this.stop();
      },
      Math.min(this.options.timeoutMs, MAX_TIMER_MS),
    );
    try {
      const [printed, { end, problem }] = await Promise.all([this.log(), this.ended()]);
      return await this.endOf(printed, end, problem);
    } finally {
      clearTimeout(late);
      stopping();
    }
  }

  /** Waits for the pod's program to begin; gives up where it never will. @throws the signal's reason */
  private async begun(signal: AbortSignal): Promise<Exclude<PodState, { kind: 'pending' }>> {
    const waitMs = this.options.settings.pending_timeout_s * 1000;
    const patience = AbortSignal.timeout(Math.min(waitMs, MAX_TIMER_MS));
    const both = AbortSignal.any([signal, patience]);
    const seen: { why: string | null } = { why: null };
    const asking = new AbortController();
    const isAsking = AbortSignal.any([both, asking.signal]);
    const refused = whyNoPod(this.api, this.core, this.options.name, ASK_MS, isAsking, (why) => {
      seen.why = why;
      this.options.onWait(why);
    });
    const state = this.pods.until((pods) => {
      const pod = pods.at(-1);
      if (pod === undefined) return null;
      asking.abort(); // there is one
      const found = seenState(pod);
      if (found.kind !== 'pending') return found;
      seen.why = found.why;
      return null;
    }, both);
    try {
      return await Promise.race([state, refused.then((problem) => ({ kind: 'ended' as const, end: null, problem }))]);
    } catch (error) {
      signal.throwIfAborted();
      if (!patience.aborted) throw error;
      const told = seen.why === null ? '' : ` (${seen.why})`;
      const problem = `the pod had no machine after pending_timeout_s (${waitMs / 1000} s)${told}; raise it, or ask for less`;
      return { kind: 'ended', end: null, problem };
    } finally {
      asking.abort();
      state.catch(() => undefined);
    }
  }

  private ended(): Promise<PodEnd> {
    return this.pods.until((pods) => {
      const state = seenState(pods.at(-1)!);
      return state.kind === 'ended' ? state : null;
    }, this.watching.signal);
  }

  private async log(): Promise<PrintedLog> {
    const name = await this.pods.until((pods) => pods.at(-1)?.pod.metadata.name ?? null, this.watching.signal);
    let hasEnded = false;
    void this.ended().then(
      () => (hasEnded = true),
      () => (hasEnded = true),
    );
    const { folder, mark } = this.options;
    const log = { api: this.api, path: `${this.core}/pods/${name}/log`, folder, mark };
    return readRunLog(log, () => hasEnded, this.watching.signal);
  }

  private async endOf(printed: PrintedLog, end: ContainerEnd | null, problem: string | null): Promise<RunEnd> {
    const { folder, timeoutMs } = this.options;
    for (const name of [RUN_FILES.result, RUN_FILES.error]) {
      const content = printed.file(name);
      if (content !== null) await writeWhole(join(folder, name), content);
    }
    const found = await endOf(folder, exitOf(end), this.isLate ? timeoutMs : null);
    const times = timesIn(printed.file(TIMES_FILE)) ?? timesOf(end);
    const told = found.status === 'failed' && problem !== null ? failed(problem) : found;
    return times === null ? told : { ...told, times };
  }

  /** The pod is asked to end, and is ended after its grace. */
  private async stop(): Promise<void> {
    const pod = await this.pods.until((pods) => pods.at(-1) ?? null, this.watching.signal).catch(() => null);
    if (pod !== null) await this.delete(`${this.core}/pods/${pod.pod.metadata.name}`).catch(() => undefined);
  }

  /** Waits until nothing of it is left. @throws KubernetesError */
  private async remove(): Promise<void> {
    const { name, graceMs } = this.options;
    await this.delete(`${this.batch}/jobs/${name}`);
    await this.delete(`${this.core}/configmaps/${name}`);
    const lastMs = performance.now() + graceMs + REMOVAL_MS;
    for (let waitMs = FIRST_LOOK_MS; performance.now() < lastMs; waitMs = Math.min(MAX_LOOK_MS, 2 * waitMs)) {
      const left = await this.pods.listed(AbortSignal.timeout(REMOVAL_MS));
      if (left.length === 0) return;
      // The cluster does it too, in its own time.
      for (const { metadata } of left)
        if (metadata.deletionTimestamp === undefined) await this.delete(`${this.core}/pods/${metadata.name}`);
      await delay(waitMs);
    }
  }

  /** What is gone already is as it should be. */
  private async delete(path: string): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' };
    const signal = AbortSignal.timeout(REMOVAL_MS);
    await this.api.ask({ method: 'DELETE', path, body, signal }).catch((error: unknown) => {
      if (!(error instanceof KubernetesError) || error.code !== 'NOT_FOUND') throw error;
    });
  }

  private get core(): string {
    return `/api/v1/namespaces/${this.options.namespace}`;
  }

  private get batch(): string {
    return `/apis/batch/v1/namespaces/${this.options.namespace}`;
  }
}

interface Made {
  readonly metadata: { readonly uid: string };
}

const failed = (problem: string | null): RunEnd => ({
  status: 'failed',
  error: { code: 'RUN_FAILED', message: problem ?? 'the pod ended without a word; look at the cluster’s events' },
});

/** Somebody took it away, or its machine is gone: nobody knows how its program ended. */
function seenState({ pod, isGone }: SeenPod): PodState {
  const state = podState(pod);
  if (!isGone || state.kind === 'ended') return state;
  const problem = 'the pod is gone: it was deleted, or its machine is; run it again (--retry-failed)';
  return { kind: 'ended', end: null, problem };
}

function exitOf(end: ContainerEnd | null): ProcessExit {
  const code = end?.exitCode ?? 0;
  const signal = Object.entries(constants.signals).find(([, number]) => code === 128 + number)?.[0];
  return { code, signal: (signal ?? null) as NodeJS.Signals | null, notStarted: null };
}

/** In whole seconds, as Kubernetes tells them. */
function timesOf(end: ContainerEnd | null): RunTimes | null {
  if (end?.startedAt === undefined || end.finishedAt === undefined) return null;
  const startedAt = new Date(end.startedAt);
  const durationMs = new Date(end.finishedAt).getTime() - startedAt.getTime();
  return Number.isFinite(durationMs) && durationMs >= 0 ? { startedAt, durationMs } : null;
}

/** Calls `act` once the signal is aborted, at once where it is. Returns how to stop that. */
function onAbort(signal: AbortSignal, act: () => void): () => void {
  if (signal.aborted) act();
  else signal.addEventListener('abort', act);
  return () => signal.removeEventListener('abort', act);
}
