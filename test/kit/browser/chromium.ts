/** Chromium as it is installed here, driven by playwright-core. */
import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

const PATHS = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

/** Undefined: there is none. */
export const chromiumPath = (): string | undefined => PATHS.find((path) => existsSync(path));

/** A headless one; null where none is installed. Its caller closes it. */
export async function launchChromium(): Promise<Browser | null> {
  const executablePath = chromiumPath();
  if (executablePath === undefined) return null;
  // Its sandbox refuses to run as root, which containers do.
  return chromium.launch({ executablePath, chromiumSandbox: process.getuid?.() !== 0 });
}
