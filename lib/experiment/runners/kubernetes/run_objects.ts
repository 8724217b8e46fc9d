/** The objects of one run: a Job with one pod, and a ConfigMap with its `run.json`, which goes with the Job. Pure. */
import { labelsOf, type KubernetesObject, type Place } from '../../../kubernetes/manifests/objects.js';
import { CONFIG_FOLDER, podSpec } from '../../../kubernetes/manifests/pod.js';
import type { KubernetesSettings } from '../../base/runner.js';
import { RUN_FILES } from '../../runs/run_folder.js';

/** Of the pod, where the run is done. */
export const POD_FOLDER = '/tmp/run';

/** What a run's objects are made of. */
export interface RunJob extends Place {
  readonly settings: KubernetesSettings;
  /** Instead of the image's own program. */
  readonly program?: readonly string[] | undefined;
  /** That of lines with files. */
  readonly mark: string;
  readonly graceMs: number;
  /** From the Job's start to its end, whoever looks: what the run may take, and the wait for a machine. */
  readonly deadlineMs: number;
}

/** Finished Jobs whose runner is gone are taken away by the cluster after so long. */
const LEFT_OVER_S = 3600;

/** The Job. */
export function runJob(run: RunJob): KubernetesObject {
  const { settings, program, mark, graceMs, deadlineMs } = run;
  const spec = podSpec(podSettings(settings), {
    ...(program !== undefined && { program }),
    args: ['measure', POD_FOLDER, '--from', `${CONFIG_FOLDER}/${RUN_FILES.run}`, '--print', mark],
    configMaps: { [run.name]: CONFIG_FOLDER },
    graceS: Math.max(1, Math.ceil(graceMs / 1000)),
    restartPolicy: 'Never',
  });
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: metadata(run),
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: Math.ceil(deadlineMs / 1000),
      ttlSecondsAfterFinished: LEFT_OVER_S,
      template: { metadata: { labels: labelsOf(run) }, spec },
    },
  };
}

/** The ConfigMap; `uid`: of the Job. */
export const runConfigMap = (run: RunJob, uid: string, text: string): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {
    ...metadata(run),
    ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name: run.name, uid }],
  } as KubernetesObject['metadata'],
  data: { [RUN_FILES.run]: text },
});

const metadata = (run: RunJob): KubernetesObject['metadata'] => ({ name: run.name, labels: labelsOf(run) });

const podSettings = (settings: KubernetesSettings): Parameters<typeof podSpec>[0] => ({
  image: settings.image,
  cpus: settings.cpus ?? undefined,
  memory: settings.memory ?? undefined,
  claim: settings.claim ?? undefined,
  nodeSelector: Object.keys(settings.node_selector).length === 0 ? undefined : settings.node_selector,
  pullSecret: settings.pull_secret ?? undefined,
  envSecrets: settings.env_secrets,
  serviceAccount: settings.service_account ?? undefined,
});
