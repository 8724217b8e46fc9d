/** What a run of the command line must look like, when it fails and when it succeeds. */
import { expect } from 'chai';
import { lastLine, Processes, type Ended, type RunOptions, withoutNews } from './processes.js';

type CommandLine = (args: readonly string[], options?: RunOptions) => Promise<Ended>;

/** Runs `expertwire …` among the processes of a test file. */
export const commandLine =
  (processes: Processes): CommandLine =>
  (args, options = {}) =>
    processes.cli(args, options).ended;

/** Runs two command lines at a time. */
export async function inPairs(expertwire: CommandLine, commands: readonly (readonly string[])[]): Promise<Ended[]> {
  const ends: Ended[] = [];
  for (let i = 0; i < commands.length; i += 2) {
    ends.push(...(await Promise.all(commands.slice(i, i + 2).map((args) => expertwire(args)))));
  }
  return ends;
}

/** Exit code, and the decisive words of the last line; nothing on standard output. */
export function expectFailure(
  { code, stdout, stderr }: Ended,
  expected: 1 | 2,
  ...words: readonly (string | RegExp)[]
): void {
  const last = lastLine(stderr);
  expect(last).to.match(/^expertwire: /);
  for (const word of words) expect(last).to.match(typeof word === 'string' ? new RegExp(literal(word)) : word);
  expect(code, stderr).to.equal(expected);
  expect(stdout).to.equal('');
  expect(stderr, 'a stack trace').not.to.match(/\n\s+at /);
}

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Standard output alone. */
export function expectSuccess({ code, stdout, stderr }: Ended): string {
  expect(withoutNews(stderr)).to.equal('');
  expect(code).to.equal(0);
  return stdout;
}

/** An object that a line of JSON is. */
export const json = (line: string): Record<string, unknown> => JSON.parse(line) as Record<string, unknown>;
/** Token ids as an option takes them. */
export const ids = (list: readonly number[]): string => list.join(',');
