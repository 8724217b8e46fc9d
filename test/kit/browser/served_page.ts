/** A server and its live page in a browser. */
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { loadConfig } from '../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import type { ServedEngine } from '../../../lib/server/base/served_engine.js';
import { createServer, type HttpServer } from '../../../lib/server/create_server.js';

export interface PageOptions extends BrowserContextOptions {
  readonly apiKeys?: readonly string[];
  /** Runs in the page before its own code. */
  readonly before?: string;
}

/** A page that was opened, and what went wrong in it so far. */
export interface OpenedPage {
  readonly page: Page;
  readonly server: HttpServer;
  readonly url: string;
  /** Errors and warnings of the console, and errors that nobody caught. */
  readonly complaints: string[];
  /** Every URL that was asked for. */
  readonly requested: string[];
  close(): Promise<void>;
}

/** Serves an engine; `port` 0: any. */
export async function serve(
  engine: ServedEngine,
  apiKeys: readonly string[] = [],
  port = 0,
): Promise<[HttpServer, string]> {
  const config = await loadConfig({ base: { model: DEMO_MODEL, server: { port } } });
  const server = await createServer(engine, { config, apiKeys });
  return [server, await server.listen()];
}

/** Opens the page of a server over `engine`, which stays its caller's. */
export async function openPage(browser: Browser, engine: ServedEngine, options: PageOptions = {}): Promise<OpenedPage> {
  const { apiKeys, before, ...contextOptions } = options;
  const [server, url] = await serve(engine, apiKeys);
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...contextOptions });
  if (before !== undefined) await context.addInitScript(before);
  const page = await context.newPage();
  const [complaints, requested]: [string[], string[]] = [[], []];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => requested.push(request.url()));
  await page.goto(url);
  const close = async (): Promise<void> => {
    await context.close();
    await server.close();
  };
  return { page, server, url, complaints, requested, close };
}

/** What axe finds wrong: the rule, and where. */
export async function violationsOf(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  const { passes, violations } = await page.evaluate<{
    passes: unknown[];
    violations: { id: string; nodes: { target: string[]; failureSummary: string }[] }[];
  }>('axe.run()');
  if (passes.length < 15) throw new Error(`axe looked at little: ${passes.length} rules`);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary}`),
  );
}

/** What a figure of the page reads. */
export const figure = (page: Page, id: string): Promise<string> => page.locator(`[data-figure="${id}"]`).innerText();
