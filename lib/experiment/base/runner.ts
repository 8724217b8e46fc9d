/** Where an experiment's runs run: how, not what, so that no id of a run has any of it. */

/** Kinds of runners, as files name them. */
export const RUNNER_KINDS = ['local', 'slurm', 'kubernetes', 'nats'] as const;
/** One of {@link RUNNER_KINDS}. */
export type RunnerKind = (typeof RUNNER_KINDS)[number];

/** A runner with its settings. */
export type RunnerSettings = { readonly kind: 'local' } | SlurmSettings | KubernetesSettings | NatsRunnerSettings;

/** Jobs of Slurm; all but what is said here is as the cluster has it. */
export interface SlurmSettings {
  readonly kind: 'slurm';
  /** Default null, as of all others: the cluster's. */
  readonly partition: string | null;
  readonly account: string | null;
  readonly qos: string | null;
  /** As `--time` takes it: `90`, `1:30:00`, `2-00`. Null: from `timeout_s`. */
  readonly time: string | null;
  /** Cores of a run, all of whose ranks are on one node. */
  readonly cpus: number | null;
  /** As `--mem` takes it: `8G`. */
  readonly memory: string | null;
  /** Such as `gpu:1`. */
  readonly gres: string | null;
  readonly constraint: string | null;
  /** A run whose node fails is put in line again by Slurm. Default true. */
  readonly requeue: boolean;
  /** As `--dependency` takes it: what has to be over before the first run begins. */
  readonly dependency: string | null;
  /** Further arguments of `sbatch`. Default none. */
  readonly extra: readonly string[];
  /** Runs of an array: no more than Slurm's MaxArraySize − 1. Default 1000. */
  readonly max_array: number;
  /** Between two questions to Slurm. Default 2. */
  readonly poll_s: number;
}

/** Jobs of Kubernetes, each with one pod, whose machine needs nothing of this one's but what the image has. */
export interface KubernetesSettings {
  readonly kind: 'kubernetes';
  /** With its registry and tag. Default expertwire:VERSION. */
  readonly image: string;
  /** Default null: the connection's. */
  readonly namespace: string | null;
  /** Path of a kubeconfig. Default null: KUBECONFIG, a pod's service account, or ~/.kube/config. */
  readonly kubeconfig: string | null;
  /** Of the kubeconfig. Default null: its current one. */
  readonly context: string | null;
  /** Cores of a pod. Default null: what is free. */
  readonly cpus: number | null;
  /** As Kubernetes writes it: '8Gi'. Default null: what is free. */
  readonly memory: string | null;
  /** A PersistentVolumeClaim with models, seen under /models. */
  readonly claim: string | null;
  /** Labels that machines must have. Default none. */
  readonly node_selector: Readonly<Record<string, string>>;
  /** A Secret that opens the image's registry. */
  readonly pull_secret: string | null;
  /** Secrets whose keys are variables of the run's process. Default none. */
  readonly env_secrets: readonly string[];
  readonly service_account: string | null;
  /** Longest wait for a machine. Default 3600. */
  readonly pending_timeout_s: number;
}

/** A queue of NATS, whose workers are `expertwire worker`. */
export interface NatsRunnerSettings {
  readonly kind: 'nats';
  /** nats://HOST:PORT or tls://HOST:PORT, several with commas between them. */
  readonly bus: string;
  /** `cluster.name` of the workers. Default expertwire. */
  readonly cluster: string;
  /** The path of a .creds file; null: what NATS_* say. */
  readonly credentials: string | null;
  /** Paths of PEM files. Default: none. */
  readonly tls: { readonly cert: string | null; readonly key: string | null; readonly ca: string | null };
}

/** Runs at a time where a file doesn't say `parallel`: this machine's disturb each other's times, others wait in line where they are. */
export const PARALLEL: Readonly<Record<RunnerKind, number>> = { local: 1, slurm: 64, kubernetes: 64, nats: 256 };
