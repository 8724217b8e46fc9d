/** The binding between Node and TensorFlow's C interface: compiled from the source that @tensorflow/tfjs-node ships, and a few lines of our own. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NativeError } from './errors.js';
import { lastLines } from './program.js';
import type { TensorflowLibrary } from './tensorflow_library.js';
import { runIn, scratchPath, type Workshop } from './workshop.js';

/** Of Node's stable binary interface: what Node 20 and newer have. */
const NAPI_VERSION = 8;

/** Where a Node that was unpacked as it is published keeps its headers; null where it has none. */
export function nodeHeaders(): string | null {
  const include = join(dirname(dirname(process.execPath)), 'include', 'node');
  return existsSync(join(include, 'node_api.h')) ? include : null;
}

/** What the compiler gets, besides what TensorFlow brings. */
export interface BindingOptions extends TensorflowLibrary {
  /** Folder of the source. */
  readonly source: string;
  /** Folder of node_api.h. */
  readonly headers: string;
  /** The file to write. */
  readonly target: string;
  /** Folder of the libraries, and as seen from the target's own folder. */
  readonly libraryDir: string;
  readonly libraryDirFromTarget: string;
}

/**
 * oneDNN's products keep values below the stack pointer, where a signal's handler puts its own: what they then write lies anywhere. The thread that loads the
 * binding, which is the one that computes, leaves signals to the others; its own faults still end the process.
 */
const SIGNALS = {
  file: 'expertwire_signals.cc',
  text: `#include <pthread.h>
#include <signal.h>

__attribute__((constructor)) static void leaveSignalsToOtherThreads() {
  sigset_t signals;
  sigfillset(&signals);
  const int own[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
  for (int signal : own) sigdelset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}
`,
} as const;

/** @throws NativeError MISSING_PROGRAM, BUILD_FAILED; the signal's reason when it was aborted */
export async function buildBinding(options: BindingOptions, shop: Workshop): Promise<void> {
  const { source, headers, include, libraries, target, libraryDir, libraryDirFromTarget } = options;
  const signals = scratchPath(shop, SIGNALS.file);
  await writeFile(signals, SIGNALS.text);
  const end = await runIn(shop, 'g++', [
    ...['-std=c++17', '-O2', '-fPIC', '-shared', '-w', `-DNAPI_VERSION=${NAPI_VERSION}`],
    ...[source, include, headers].map((folder) => `-I${folder}`),
    ...['tfjs_backend.cc', 'tfjs_binding.cc'].map((file) => join(source, file)),
    signals,
    ...['-o', target, `-L${libraryDir}`, ...libraries.map((library) => `-l:${library}`)],
    `-Wl,-rpath,$ORIGIN/${libraryDirFromTarget}`, // the folder can be moved as a whole
  ]);
  if (end.exitCode === 0) return;
  const message = `g++ can't build the binding (${lastLines(end)}); try another TensorFlow with --from`;
  throw new NativeError('BUILD_FAILED', message);
}
