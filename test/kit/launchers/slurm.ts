/**
 * A real Slurm of this machine's own: munge, a controller, and nodes that are loopback addresses, so that they differ as hosts do. It has its own folder, key
 * and ports, and leaves nothing behind.
 */
import { execFile } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../processes/ports.js';
import { Daemon } from './daemon.js';
import { needPrograms } from './programs.js';

/** What it is made of. */
export interface SlurmOptions {
  /** Default 2. */
  readonly numNodes?: number;
  /** Of each, whatever this machine has. Default 8. */
  readonly numCpus?: number;
  /** Further lines of slurm.conf. */
  readonly config?: string;
}

/** Longest wait for its daemons. */
const PATIENCE_MS = 30_000;
const POLL_MS = 50;

/** Skips what `this` runs where there is no Slurm. */
export const needSlurm = (mocha: Mocha.Context): Promise<void> =>
  needPrograms(mocha, ['sbatch', 'slurmctld', 'slurmd', 'munged'], 'slurm-wlm munge');

/** One that runs. Its partition is called `all`. */
export class Slurm {
  private munged: Daemon | null = null;
  private controller: Daemon | null = null;
  private readonly daemons = new Map<string, Daemon>();

  private constructor(
    readonly dir: string,
    /** Of its nodes, which are addresses. */
    readonly hosts: readonly string[],
  ) {}

  /** Resolves when all nodes are idle. */
  static async start(options: SlurmOptions = {}): Promise<Slurm> {
    const dir = await mkdtemp(join(tmpdir(), 'expertwire-slurm-'));
    const net = `127.${randomInt(1, 255)}.${randomInt(1, 255)}`;
    const slurm = new Slurm(
      dir,
      Array.from({ length: options.numNodes ?? 2 }, (_, i) => `${net}.${i + 1}`),
    );
    try {
      await slurm.begin(options);
    } catch (error) {
      await slurm.close();
      throw error;
    }
    return slurm;
  }

  /** What its commands (srun, sbatch, squeue, …) need. */
  get env(): { readonly SLURM_CONF: string } {
    return { SLURM_CONF: join(this.dir, 'slurm.conf') };
  }

  /** Runs one of its commands; returns what it printed. @throws where it fails */
  async run(command: string, ...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(command, args, { env: { ...process.env, ...this.env } });
    return stdout;
  }

  /** A node's daemon is gone, as with its machine; jobs that ran there are not. */
  async killNode(host: string): Promise<void> {
    await this.daemons.get(host)?.kill('SIGKILL');
  }

  /** It is back. */
  async startNode(host: string): Promise<void> {
    this.daemons.set(host, await Daemon.start('slurmd', ['-D', '-N', host], this.env));
  }

  /** Resolves when `state` says so of every node, such as 'idle'. */
  async nodesAre(state: string): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const states = await this.run('sinfo', '-N', '-h', '-o', '%T').catch(String);
      const lines = states.trim().split('\n');
      if (lines.length === this.hosts.length && lines.every((line) => line === state)) return;
      if (performance.now() > end) throw new Error(`nodes are not ${state}: ${states}\n${this.story()}`);
      await delay(POLL_MS);
    }
  }

  /** Ends all jobs and all daemons. Idempotent. */
  async close(): Promise<void> {
    if (this.controller?.hasEnded === false) {
      await this.run('scancel', '--signal=KILL', '-u', userInfo().username).catch(() => undefined);
      await this.run('scancel', '-u', userInfo().username).catch(() => undefined);
      await this.empty();
    }
    for (const daemon of [...this.daemons.values(), this.controller, this.munged]) await daemon?.kill();
    await rm(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  private async begin({ numCpus = 8, config = '' }: SlurmOptions): Promise<void> {
    const { dir, hosts } = this;
    await mkdir(join(dir, 'state'));
    await writeFile(join(dir, 'key'), randomBytes(64), { mode: 0o400 });
    await writeFile(join(dir, 'slurm.conf'), `${await configOf(dir, hosts, numCpus)}\n${config}\n`);
    await chmod(dir, 0o755);
    const munge = { key: 'key-file', sock: 'socket', pid: 'pid-file', log: 'log-file', seed: 'seed-file' };
    const files = Object.entries(munge).map(([name, option]) => `--${option}=${join(dir, name)}`);
    this.munged = await Daemon.start('munged', ['--foreground', '--force', ...files]);
    this.controller = await Daemon.start('slurmctld', ['-D', '-c'], this.env);
    for (const host of hosts) await this.startNode(host);
    await this.nodesAre('idle');
  }

  private async empty(): Promise<void> {
    const end = performance.now() + PATIENCE_MS;
    while (performance.now() < end) {
      const jobs = await this.run('squeue', '-h').catch(() => '');
      if (jobs.trim() === '') return;
      await delay(POLL_MS);
    }
  }

  private story(): string {
    return [this.munged, this.controller, ...this.daemons.values()]
      .flatMap((daemon) => daemon ?? [])
      .map((daemon) => `${daemon.name}: ${daemon.story.split('\n').slice(-10).join('\n')}`)
      .join('\n');
  }
}

async function configOf(dir: string, hosts: readonly string[], numCpus: number): Promise<string> {
  const { username } = userInfo();
  const node = async (host: string): Promise<string> =>
    `NodeName=${host} NodeHostname=${hostname()} NodeAddr=${host} Port=${await freePort()} CPUs=${numCpus} RealMemory=1000`;
  return [
    'ClusterName=kit',
    `SlurmctldHost=${hostname()}(127.0.0.1)`,
    `SlurmctldPort=${await freePort()}`,
    'AuthType=auth/munge',
    `AuthInfo=socket=${join(dir, 'sock')}`,
    `SlurmUser=${username}`,
    `SlurmdUser=${username}`,
    `StateSaveLocation=${join(dir, 'state')}`,
    `SlurmctldPidFile=${join(dir, 'slurmctld.pid')}`,
    `SlurmdPidFile=${join(dir, 'slurmd.%n.pid')}`,
    `SlurmdSpoolDir=${join(dir, 'spool.%n')}`,
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'MpiDefault=none',
    'SchedulerType=sched/backfill',
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_CPU',
    'ReturnToService=2',
    'KillWait=5',
    'MinJobAge=300',
    'SlurmdParameters=config_overrides',
    ...(await Promise.all(hosts.map(node))),
    `PartitionName=all Nodes=${hosts.join(',')} Default=YES State=UP MaxTime=60`,
  ].join('\n');
}
