/** Where a mistake in the syntax of a module is: Node tells it on a terminal alone, not who imports the module. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';

/** It runs nothing, and may be on a machine that is busy. */
const TIMEOUT_MS = 30_000;

/** 'PATH:LINE' of the first of some files, by path from the first one's folder, that Node can't parse; null: it can. */
export async function syntaxPlace(plugin: string, files: readonly string[]): Promise<string | null> {
  for (const file of files) {
    const path = join(dirname(plugin), file);
    const said = await new Promise<string>((resolve) => {
      execFile(process.execPath, ['--check', path], { timeout: TIMEOUT_MS }, (_error, _stdout, stderr) =>
        resolve(stderr),
      );
    });
    const line = /\.[cm]?[jt]s:(\d+)$/m.exec(said)?.[1];
    if (line !== undefined) return `${path}:${line}`;
  }
  return null;
}
