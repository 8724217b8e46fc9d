/** A pod that is a process of this machine, in folders of its own; all that it starts ends with it, as with a container. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { markedProcesses, RUN_VARIABLE } from '../../../lib/experiment/runs/marked_processes.js';
import { CLI, kill } from '../processes/processes.js';

/** What the image begins with. */
const IMAGE = [process.execPath, '--no-warnings', CLI];

/** What of a template is played. */
export interface PodManifest {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly terminationGracePeriodSeconds: number;
    readonly containers: readonly {
      readonly command?: readonly string[];
      readonly args: readonly string[];
      readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
    }[];
  };
}

/** Told of what changes, as a watch is. */
export type PodListener = (type: 'ADDED' | 'MODIFIED' | 'DELETED', pod: PlayedPod) => void;

/** From its start to its end. */
export class PlayedPod {
  readonly name: string;
  isGone = false;
  private readonly uid = randomUUID();
  private readonly folder = mkdtempSync(join(tmpdir(), 'expertwire-pod-'));
  private readonly child: ChildProcess | null;
  private readonly chunks: Uint8Array[] = [];
  private readonly readers = new Set<{ readonly take: (chunk: Uint8Array) => void; readonly end: () => void }>();
  private readonly ended: Promise<void>;
  private status: object;
  private deletedAt: string | null = null;
  private deleting: Promise<void> | null = null;

  constructor(
    readonly job: string,
    private readonly manifest: PodManifest,
    files: Readonly<Record<string, string>>,
    status: object | null,
    private readonly listener: PodListener,
  ) {
    this.name = `${job}-${this.uid.slice(0, 5)}`;
    this.status = status ?? { phase: 'Pending' };
    this.child = status === null ? this.start(files) : null;
    this.ended = this.child === null ? Promise.resolve() : this.endOf(this.child);
    listener('ADDED', this);
    if (this.child === null) return;
    this.become({ phase: 'Running', containerStatuses: this.state({ running: { startedAt: now() } }) });
  }

  /** As the API server tells it. */
  get object(): object {
    const deletion = this.deletedAt === null ? {} : { deletionTimestamp: this.deletedAt };
    const metadata = { name: this.name, uid: this.uid, labels: this.manifest.metadata.labels, ...deletion };
    return { apiVersion: 'v1', kind: 'Pod', metadata, status: this.status };
  }

  /** Of its program, by its path there. */
  hasFile(path: string): boolean {
    return existsSync(join(this.folder, path));
  }

  /** All that was said, and what comes. Returns how to stop that. */
  read(take: (chunk: Uint8Array) => void, end: () => void): () => void {
    for (const chunk of this.chunks) take(chunk);
    const reader = { take, end };
    this.readers.add(reader);
    void this.ended.then(end);
    return () => this.readers.delete(reader);
  }

  /** Its program is asked to end, and nobody takes the pod away. */
  terminate(): void {
    this.child?.kill('SIGTERM');
  }

  /** Asks it to end, ends it after its grace, and takes it away. */
  delete(graceMs = this.manifest.spec.terminationGracePeriodSeconds * 1000): Promise<void> {
    this.deleting ??= this.end(graceMs);
    return this.deleting;
  }

  private async end(graceMs: number): Promise<void> {
    this.deletedAt = now();
    this.listener('MODIFIED', this);
    this.child?.kill('SIGTERM');
    const killing = setTimeout(() => this.child?.kill('SIGKILL'), graceMs);
    await this.ended;
    clearTimeout(killing);
    await rm(this.folder, { recursive: true, force: true });
    this.isGone = true;
    this.listener('DELETED', this);
  }

  private start(files: Readonly<Record<string, string>>): ChildProcess {
    const [{ command = IMAGE, args, volumeMounts }] = this.manifest.spec.containers as [
      PodManifest['spec']['containers'][number],
    ];
    for (const { mountPath } of volumeMounts) mkdirSync(join(this.folder, mountPath), { recursive: true });
    const mount = volumeMounts.find(({ name }) => name.startsWith('files-'))!.mountPath;
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.folder, mount, name), text);
    const inPod = (word: string): string =>
      volumeMounts.some(({ mountPath }) => word.startsWith(`${mountPath}/`)) ? join(this.folder, word) : word;
    const [program, ...words] = [...command, ...args.map(inPod)];
    const child = spawn(program!, words, {
      env: { ...process.env, [RUN_VARIABLE]: this.uid },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Uint8Array) => {
        this.chunks.push(chunk);
        for (const reader of this.readers) reader.take(chunk);
      });
    return child;
  }

  private async endOf(child: ChildProcess): Promise<void> {
    const startedAt = now();
    const closed = once(child, 'close');
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    for (;;) {
      const left = await markedProcesses(this.uid);
      if (left.length === 0) break;
      for (const pid of left) kill(pid, 'SIGKILL');
      await delay(5);
    }
    await closed;
    const exitCode = code ?? 128 + constants.signals[signal!];
    const terminated = { exitCode, reason: exitCode === 0 ? 'Completed' : 'Error', startedAt, finishedAt: now() };
    this.become({ phase: exitCode === 0 ? 'Succeeded' : 'Failed', containerStatuses: this.state({ terminated }) });
  }

  private state(state: object): readonly object[] {
    return [{ name: 'expertwire', image: 'played', imageID: '', ready: true, restartCount: 0, state }];
  }

  private become(status: object): void {
    this.status = status;
    this.listener('MODIFIED', this);
  }
}

const now = (): string => new Date().toISOString().replace(/\.\d+/, '');
