/**
 * The live page's files, as the build left them beside the compiled server.
 * Why: docs/decisions/page.md#names-of-files-stay-the-same
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { InternalError } from '../../../base/coded_error.js';

/** A file and what goes with it. */
export interface PageFile {
  /** Of the URL. */
  readonly path: string;
  readonly contentType: string;
  readonly content: Buffer;
  /** Of the content; quoted. */
  readonly etag: string;
}

const FILES = [
  { path: '/', name: 'index.html', contentType: 'text/html; charset=utf-8' },
  { path: '/page.js', name: 'page.js', contentType: 'text/javascript; charset=utf-8' },
  { path: '/page.css', name: 'page.css', contentType: 'text/css; charset=utf-8' },
] as const;

/** Code and styles come from the page's own server alone, and it talks to nobody else. Icons are in the document. */
const SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Headers of each file. It may be kept, but has to be asked for: names stay the same when the package changes. */
export const PAGE_HEADERS = {
  'cache-control': 'no-cache',
  'content-security-policy': SECURITY_POLICY,
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cross-origin-opener-policy': 'same-origin',
} as const;

/** All of them, in memory. @throws InternalError where the build made none */
export function readPageFiles(): readonly PageFile[] {
  return FILES.map(({ path, name, contentType }) => {
    const content = contentOf(name);
    const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
    return { path, contentType, content, etag };
  });
}

function contentOf(name: string): Buffer {
  try {
    return readFileSync(new URL(`../../page/${name}`, import.meta.url));
  } catch {
    throw new InternalError(`the package has no ${name} of the live page`);
  }
}
