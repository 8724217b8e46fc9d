/** Runs as Jobs of Kubernetes: no folder is shared, `run.json` goes there as a ConfigMap and the result comes home in the log. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InternalError } from '../../../../base/coded_error.js';
import { connectionOf, type Connection } from '../../../kubernetes/api/connection.js';
import { KubernetesError } from '../../../kubernetes/api/errors.js';
import { KubernetesApi, type ApiLimits } from '../../../kubernetes/api/kubernetes_api.js';
import { ExperimentError } from '../../base/errors.js';
import type { RunEnd, Runner } from '../../base/run.js';
import type { KubernetesSettings } from '../../base/runner.js';
import { clearRun, RUN_FILES } from '../../runs/run_folder.js';
import { RunningJob } from './running_job.js';

/** Where and how runs are started. */
export interface KubernetesRunnerOptions {
  readonly settings: KubernetesSettings;
  /** Runs at a time. */
  readonly parallel: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** From being asked to end to being ended. Default 5000. */
  readonly graceMs?: number;
  /** Instead of the image's own program. */
  readonly program?: readonly string[];
  /** Default: as the settings and the environment say. */
  readonly connection?: Connection;
  readonly limits?: ApiLimits;
  /** What becomes of runs otherwise than one thinks, in a line. */
  readonly onNotice?: (line: string) => void;
}

const GRACE_MS = 5000;
/** That of etcd for an object, less what is around it. */
const MAX_RUN_BYTES = 1_000_000;

/** A Job for each run. */
export class KubernetesRunner implements Runner {
  readonly width: number;
  private readonly closing = new AbortController();
  private readonly running = new Set<Promise<unknown>>();
  private hasToldWait = false;
  private api: Promise<KubernetesApi> | null = null;

  constructor(private readonly options: KubernetesRunnerOptions) {
    this.width = options.parallel;
  }

  /**
   * @throws ExperimentError RUNNER_FAILED where the cluster can't be reached or refuses; `signal`'s reason; InternalError after {@link close}; what the file
   * system throws where the folder can't be written
   */
  async run(folder: string, timeoutMs: number, signal: AbortSignal): Promise<RunEnd> {
    const run = this.runOnce(folder, timeoutMs, AbortSignal.any([signal, this.closing.signal]));
    const over = run.catch(() => undefined);
    this.running.add(over);
    try {
      return await run;
    } catch (error) {
      throw error instanceof KubernetesError
        ? new ExperimentError('RUNNER_FAILED', error.text, { cause: error })
        : error;
    } finally {
      this.running.delete(over);
    }
  }

  /** Ends what runs, whose {@link run} rejects. Idempotent. */
  async close(): Promise<void> {
    this.closing.abort(new InternalError('the runner of a run was closed'));
    await Promise.all(this.running);
    const api = await this.api?.catch(() => null);
    await api?.close();
  }

  private async runOnce(folder: string, timeoutMs: number, signal: AbortSignal): Promise<RunEnd> {
    signal.throwIfAborted();
    await clearRun(folder);
    const text = await readFile(join(folder, RUN_FILES.run), 'utf8');
    if (Buffer.byteLength(text) > MAX_RUN_BYTES) return tooLarge(text);
    const { settings, graceMs = GRACE_MS, program, onNotice } = this.options;
    const api = await this.connected();
    const name = `expertwire-run-${randomBytes(4).toString('hex')}`;
    const job = new RunningJob(api, {
      ...{ settings, program, graceMs, folder, timeoutMs },
      ...{ name, mark: randomBytes(8).toString('hex') },
      namespace: settings.namespace ?? api.namespace,
      onWait: (why) => this.tellWait(why),
      onLeft: (why) => onNotice?.(leftText(name, why)),
    });
    const end = await job.run(text, signal);
    if (end.status !== 'ok') signal.throwIfAborted();
    return end;
  }

  /** Once: the others wait for the same. */
  private tellWait(why: string): void {
    if (this.hasToldWait) return;
    this.hasToldWait = true;
    const patienceS = this.options.settings.pending_timeout_s;
    this.options.onNotice?.(`runs wait for room in the cluster (${why}), each for ${patienceS} s (pending_timeout_s)`);
  }

  /** One connection for all runs. */
  private connected(): Promise<KubernetesApi> {
    this.api ??= this.connect();
    return this.api;
  }

  private async connect(): Promise<KubernetesApi> {
    const { settings, env, connection, limits } = this.options;
    return new KubernetesApi(connection ?? (await connectionOf(env, settings)), limits);
  }
}

const leftText = (name: string, why: string): string =>
  `what the Job ${name} made may be left (${why}); the cluster takes it away an hour after the Job's deadline, and kubectl delete job ${name} at once`;

const tooLarge = (text: string): RunEnd => ({
  status: 'failed',
  error: {
    code: 'RUN_FAILED',
    message: `run.json has ${Buffer.byteLength(text)} bytes, and a ConfigMap takes ${MAX_RUN_BYTES}; name large texts by files of the image or the claim`,
  },
});
