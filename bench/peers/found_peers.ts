/** Which peers this machine has, and what installs those that it hasn't. */
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { peerScript } from '../../lib/config/package_files.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { batchedBeside } from './engines/llama_tools.js';
import type { PeerName, PeersOptions } from './options.js';

const run = promisify(execFile);

/** What was found. */
export interface FoundPeers {
  readonly python: string;
  /** `llama-bench`, where that is to be used instead of Python's llama.cpp. */
  readonly llamaBench: string | null;
  readonly names: ReadonlySet<PeerName>;
  /** A line for each that was asked for and isn't there. */
  readonly missing: readonly string[];
}

/** Modules of Python that each needs. */
const MODULES: Readonly<Record<Exclude<PeerName, 'mpi'>, readonly string[]>> = {
  'llama.cpp': ['llama_cpp', 'gguf'],
  transformers: ['transformers', 'torch'],
  torch: ['torch'],
  gloo: ['torch'],
};

/** Looks for every peer that was asked for; nothing of them is loaded yet. @throws UsageError: there is no llama-bench where it is said to be */
export async function findPeers(
  options: PeersOptions,
  env: Readonly<Record<string, string | undefined>>,
): Promise<FoundPeers> {
  const python = await pythonOf(options);
  const modules = await modulesOf(python);
  const llamaBench = options.llamaBench ?? env.EXPERTWIRE_LLAMA_BENCH ?? null;
  if (llamaBench !== null && options.peers.includes('llama.cpp')) await checkLlamaBench(llamaBench, options);
  const has: Record<PeerName, boolean> = {
    'llama.cpp': hasAll(modules, MODULES['llama.cpp']) || (llamaBench !== null && modules.has('gguf')),
    transformers: hasAll(modules, MODULES.transformers),
    torch: hasAll(modules, MODULES.torch),
    gloo: hasAll(modules, MODULES.gloo),
    mpi: (await answers('mpirun', '--version')) && (await answers('mpicc', '--version')),
  };
  const missing = options.peers
    .filter((name) => !has[name])
    .map((name) => `no ${name}: ${adviceFor(name, python, options.dir)}`);
  return { python, llamaBench, names: new Set(options.peers.filter((name) => has[name])), missing };
}

/** Whether the tools can be started: a run takes long until it needs them. */
async function checkLlamaBench(llamaBench: string, { llamaBench: option, batches }: PeersOptions): Promise<void> {
  const tools = batches.every((batch) => batch === 1) ? [llamaBench] : [llamaBench, batchedBeside(llamaBench)];
  for (const tool of tools) {
    const why = await run(tool, ['--help']).then(
      () => null,
      (error: unknown) => {
        const { code, message } = error as NodeJS.ErrnoException;
        return typeof code === 'string' ? message : null; // a number: it ran
      },
    );
    if (why === null) continue;
    const from = option === undefined ? 'EXPERTWIRE_LLAMA_BENCH' : '--llama-bench';
    throw new UsageError(`${from}: can't run ${tool} (${why}); give the path of llama.cpp's llama-bench`);
  }
}

const hasAll = (modules: ReadonlySet<string>, wanted: readonly string[]): boolean =>
  wanted.every((each) => modules.has(each));

function adviceFor(name: PeerName, python: string, dir: string): string {
  if (name === 'mpi') return 'mpirun and mpicc are not there; apt-get install openmpi-bin libopenmpi-dev';
  return `${python} lacks ${MODULES[name].join(' or ')}; sh ${peerScript('install.sh')} ${dir} ${name === 'gloo' ? 'torch' : name}`;
}

/** That of the options, that of the folder, or the machine's. */
async function pythonOf({ python, dir }: PeersOptions): Promise<string> {
  if (python !== undefined) return python;
  const own = join(dir, 'venv', 'bin', 'python');
  return access(own).then(
    () => own,
    () => 'python3',
  );
}

/** Those of {@link MODULES} that it could load. */
async function modulesOf(python: string): Promise<ReadonlySet<string>> {
  const wanted = Array.from(new Set(Object.values(MODULES).flat()));
  const code = 'import importlib.util, sys; print(*[each for each in sys.argv[1:] if importlib.util.find_spec(each)])';
  const { stdout } = await run(python, ['-c', code, ...wanted]).catch(() => ({ stdout: '' }));
  return new Set(stdout.trim().split(' '));
}

const answers = (command: string, arg: string): Promise<boolean> =>
  run(command, [arg]).then(
    () => true,
    () => false,
  );
