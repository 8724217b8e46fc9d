import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root: tests run compiled, so its distance from this file depends on the build folder. */
export function repoRoot(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'package.json'))) dir = dirname(dir);
  return dir;
}

/** Folder of the small trained model. */
export function moe7m(): string {
  return join(repoRoot(), 'models', 'moe-7m');
}

/** Folder of a tiny random model: 'tiny-deepseek-v3' or 'tiny-qwen3-moe'. */
export function tinyModel(name: string): string {
  return join(repoRoot(), 'test', 'data', name);
}
