/** Which cores a process may run on. Linux's `taskset` pins it; elsewhere only its number of threads is limited. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

/** Keeps programs on some cores, where the machine can. */
export interface Pin {
  readonly isPinning: boolean;
  /** The command line that runs a program on the first `count` cores that this process may use. */
  on(count: number, command: string, args: readonly string[]): CommandLine;
}

/** A program and its arguments. */
export interface CommandLine {
  readonly command: string;
  readonly args: readonly string[];
}

/** Where nothing pins. */
const UNPINNED: Pin = { isPinning: false, on: (_, command, args) => ({ command, args }) };

/** Looks for `taskset`, and for the cores that this process may use. */
export async function openPin(): Promise<Pin> {
  try {
    await promisify(execFile)('taskset', ['--version']);
    const cores = coresOf(/^Cpus_allowed_list:\s*(\S+)$/mu.exec(readFileSync('/proc/self/status', 'utf8'))![1]!);
    return {
      isPinning: true,
      on: (count, command, args) => ({
        command: 'taskset',
        args: ['-c', cores.slice(0, count).join(','), command, ...args],
      }),
    };
  } catch {
    return UNPINNED;
  }
}

/** '0,2-4' → 0, 2, 3, 4 */
export const coresOf = (list: string): number[] =>
  list.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
