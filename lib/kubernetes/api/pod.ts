/** What of a pod is read: how far it is, and why it gets no further. Pure. */
import { printable } from '../../../base/foreign_text.js';

/** As the API server tells it; all that is read of it. */
export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly containerStatuses?: readonly { readonly state?: ContainerState }[];
  };
}

/** Of its one container. */
export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: { readonly startedAt?: string };
  readonly terminated?: ContainerEnd;
}

/** How a container ended. */
export interface ContainerEnd {
  readonly exitCode: number;
  readonly reason?: string;
  readonly message?: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
}

/** How far a pod is. `problem`: why it never will be, or what ended it beside its program; it ends with what to do. */
export type PodState =
  | { readonly kind: 'pending'; readonly why: string | null }
  | { readonly kind: 'running' }
  | { readonly kind: 'ended'; readonly end: ContainerEnd | null; readonly problem: string | null };

/** Trying again doesn't help, or was tried. */
const NEVER: ReadonlySet<string> = new Set([
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
]);

/** Of a pod with one container that is never started again. */
export function podState({ status = {} }: Pod): PodState {
  const { waiting, running, terminated } = status.containerStatuses?.[0]?.state ?? {};
  if (terminated !== undefined) return { kind: 'ended', end: terminated, problem: problemOf(status, terminated) };
  if (status.phase === 'Failed' || status.phase === 'Succeeded')
    return { kind: 'ended', end: null, problem: problemOf(status, null) };
  if (running !== undefined) return { kind: 'running' };
  const reason = waiting?.reason ?? '';
  if (!NEVER.has(reason)) return { kind: 'pending', why: whyPending(status, waiting) };
  const advice = reason.includes('Image')
    ? 'check image and pull_secret of the runner'
    : 'check the claim, Secrets and service account of the runner';
  return { kind: 'ended', end: null, problem: `the pod can't start (${said(reason, waiting?.message)}); ${advice}` };
}

type Status = NonNullable<Pod['status']>;

function problemOf({ reason, message, conditions = [] }: Status, end: ContainerEnd | null): string | null {
  if (end?.reason === 'OOMKilled')
    return 'the pod took more memory than it may (OOMKilled); raise memory of the runner, or measure less';
  const disruption = conditions.find(({ type, status }) => type === 'DisruptionTarget' && status === 'True');
  if (reason === 'Evicted' || disruption !== undefined) {
    const why = said(reason ?? disruption?.reason ?? '', message ?? disruption?.message);
    return `the pod was taken off its machine (${why}); run it again (--retry-failed), with memory and cpus of its own`;
  }
  if (end !== null) return null;
  return `the pod ended before its program began (${said(reason ?? 'no reason', message)}); look at the cluster's events`;
}

function whyPending({ conditions = [] }: Status, waiting: ContainerState['waiting']): string | null {
  const unscheduled = conditions.find(({ type, status }) => type === 'PodScheduled' && status === 'False');
  if (unscheduled !== undefined) return said(unscheduled.reason ?? '', unscheduled.message);
  return waiting?.reason === undefined ? null : said(waiting.reason, waiting.message);
}

const MAX_CHARS = 300;

const said = (reason: string, message: string | undefined): string =>
  printable(message === undefined || message === '' ? reason : `${reason}: ${message}`, MAX_CHARS);
