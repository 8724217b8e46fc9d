/** `expertwire doctor`: what this machine has, and why a backend is unavailable. */
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import type { Argv } from 'yargs';
import { nativeDir } from '../../compute/tfjs/native/native_folder.js';
import type { BackendReport } from '../../compute/tfjs/tf.js';
import { bytes, table } from '../metrics/charts.js';
import { nativeFacts, nativeJson, reportNative } from '../native/native_report.js';
import { VERSION } from '../config/package_files.js';
import type { CommandContext } from './base/context.js';
import { thisNode } from '../kernels/newer_node.js';
import { knownTrial } from '../kernels/known_trial.js';
import { kernelFacts, kernelsJson } from './doctor_kernels.js';
import { adapterLines, adapterRows } from './doctor_adapters.js';

/** The options of `doctor` as yargs parses them. */
export interface DoctorArgs {
  readonly json?: boolean | undefined;
}

/** Adds the options of `doctor` to a command line. */
export function doctorOptions<T>(yargs: Argv<T>): Argv<T & DoctorArgs> {
  return yargs.option('json', { type: 'boolean', describe: 'one JSON object' });
}

/** Tries every backend and, anew, the kernels, looks for GPUs, and prints what it found: lines, or with `--json` one object. */
export async function doctor(args: DoctorArgs, { stdout, stderr, env, signal }: CommandContext): Promise<void> {
  const { listAdapters, reportBackends } = await import('../../compute/tfjs/tf.js'); // only this command needs it in the head's process
  const backends = await reportBackends();
  const adapters = await listAdapters();
  const kernels = await knownTrial({ isAnew: true, signal, onNotice: (line) => stderr.write(`${line}\n`) });
  signal.throwIfAborted(); // a trial that was ended says nothing of the kernels
  const native = await reportNative(nativeDir(), { env });
  const chosen = backends.find(({ isAvailable, isAutomatic }) => isAvailable && isAutomatic)?.name ?? null;
  const machine = {
    expertwire: VERSION,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory_bytes: totalmem(),
    free_memory_bytes: freemem(),
  };
  if (args.json === true) {
    const rows = backends.map(({ name, isAvailable, detail }) => ({ name, available: isAvailable, detail }));
    const tensorflow = backends.find(({ name }) => name === 'tensorflow')!;
    const parts = {
      ...nativeJson(native, tensorflow.isAvailable ? null : tensorflow.detail),
      ...kernelsJson(kernels, thisNode()),
      webgpu_adapters: adapterRows(adapters),
    };
    stdout.write(`${JSON.stringify({ ...machine, ...parts, backends: rows, auto: chosen })}\n`);
    return;
  }
  const facts = [
    ['expertwire', machine.expertwire],
    ['node', `${machine.node} on ${machine.platform}`],
    ['cpu', `${machine.cpu}, ${machine.cores} cores: as many ranks use them all`],
    ['memory', `${bytes(machine.memory_bytes)}, ${bytes(machine.free_memory_bytes)} free`],
    ...kernelFacts(kernels, thisNode()),
    ...nativeFacts(native),
  ];
  stdout.write(facts.map(([name, value]) => `${name.padEnd(12)}${value}\n`).join(''));
  stdout.write(`\n${backendTable(backends, chosen)}\n`);
  stdout.write(adapterLines(adapters));
}

function backendTable(backends: readonly BackendReport[], chosen: string | null): string {
  const rows = backends.map(({ name, isAvailable, detail }) => [
    `${name === chosen ? '→' : ' '} ${name}`,
    isAvailable ? 'available' : 'unavailable',
    detail,
  ]);
  const width = table(rows.map((row) => row.slice(0, 2))).split('\n');
  const lines = width.map((line, i) => `${line}  ${rows[i]![2]!}`);
  const compute = chosen === 'wasm' ? 'kernels' : 'tensors';
  return [...lines, '', `backend: auto takes ${chosen ?? 'none'}, compute: auto ${compute}`].join('\n');
}
