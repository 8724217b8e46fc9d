import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { withTempFolder } from './temp_folder.js';

/** Runs `use` in a folder with these files, by their names, and removes it afterwards; `path`: of a file of it. */
export async function withPlugins<T>(
  files: Readonly<Record<string, string>>,
  use: (path: (name: string) => string, dir: string) => Promise<T>,
): Promise<T> {
  return withTempFolder(async (dir) => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(dir, name)), { recursive: true });
      await writeFile(join(dir, name), text);
    }
    return use((name) => join(dir, name), dir);
  });
}
