/** The load of a scenario, which stands in a comment of its configuration as the command that anybody can run. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { causeText } from '../../base/foreign_text.js';
import { UsageError } from '../../lib/commands/base/context.js';

/** A configuration, and the load that shows what it is for. */
export interface Scenario {
  readonly name: string;
  readonly file: string;
  /** Arguments of `bench serve`, without the server's address. */
  readonly loadArgs: readonly string[];
}

/** Reads the comment of a file. @throws UsageError where the file can't be read, or has no such comment */
export async function readScenario(file: string): Promise<Scenario> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`${file} can't be read (${causeText(cause)}); give a configuration with a load`);
  });
  const loadArgs = loadArgsOf(text);
  if (loadArgs === null)
    throw new UsageError(`${file} has no load; give it a comment with # expertwire bench serve and its options`);
  return { name: basename(file).replace(/\.ya?ml$/, ''), file, loadArgs };
}

/** From `expertwire bench serve` to the last comment line that begins with an option; null without it. Pure. */
export function loadArgsOf(text: string): string[] | null {
  const lines = text.split(/\r?\n/).map((line) => /^#\s*(.*)$/.exec(line)?.[1]?.trim() ?? '');
  const at = lines.findIndex((line) => line.startsWith(COMMAND));
  if (at < 0) return null;
  const args = [lines[at]!.slice(COMMAND.length)];
  for (const line of lines.slice(at + 1)) {
    if (!line.startsWith('--')) break;
    args.push(line);
  }
  return args
    .join(' ')
    .split(/\s+/)
    .filter((arg) => arg !== '');
}

const COMMAND = 'expertwire bench serve';
