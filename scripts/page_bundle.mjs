/** Joins the live page's code and its libraries into dist/lib/page/: index.html, page.js and page.css, minified. */
import { buildSync } from 'esbuild';
import { copyFileSync, existsSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NOTICES, noticesOf } from './notices.mjs';

const SOURCE = 'lib/page/view';
const OUTPUT = join('dist', 'lib', 'page');
/** What the bundle is. */
export const PAGE_FILES = ['index.html', 'page.js', 'page.css', NOTICES].map((file) => join(OUTPUT, file));
/** What the bundle is made of. */
const FOLDERS = ['lib/page', 'lib/server/live', 'lib/cluster/live', 'base'];

/** Where something changed since the last time; `startMs`: when this build began. */
export function bundlePage(startMs) {
  if (!isStale()) return;
  const { metafile } = buildSync({
    entryPoints: [`${SOURCE}/page.tsx`, `${SOURCE}/page.css`],
    outdir: OUTPUT,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2023',
    charset: 'utf8',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    metafile: true,
    logLevel: 'warning',
  });
  copyFileSync(`${SOURCE}/index.html`, join(OUTPUT, 'index.html'));
  writeFileSync(join(OUTPUT, NOTICES), noticesOf([metafile]));
  for (const file of PAGE_FILES) utimesSync(file, startMs / 1000, startMs / 1000); // what is changed meanwhile is newer
}

function isStale() {
  if (!PAGE_FILES.every((file) => existsSync(file))) return true;
  const builtMs = Math.min(...PAGE_FILES.map((file) => statSync(file).mtimeMs));
  const names = FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name)),
  );
  // package.json has the versions of the libraries.
  return [...names, 'scripts/page_bundle.mjs', 'scripts/notices.mjs', 'package.json'].some(
    (file) => statSync(file).mtimeMs >= builtMs,
  );
}
