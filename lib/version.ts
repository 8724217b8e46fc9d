import { readFileSync } from 'node:fs';

/** This build's version, from package.json: two folders up from the compiled file. */
export const VERSION = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string }
).version;
