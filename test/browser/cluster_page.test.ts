import { expect } from 'chai';
import { pino } from 'pino';
import type { Browser, Page } from 'playwright-core';
import type { AddressInfo } from 'node:net';
import type { InstanceView } from '../../lib/cluster/base/instance_view.js';
import { LocalBus } from '../../lib/cluster/bus/local_bus.js';
import { ClusterFeed } from '../../lib/cluster/live/cluster_feed.js';
import { clusterPage } from '../../lib/cluster/live/cluster_page.js';
import { loadConfig } from '../../lib/config/load.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { httpApp } from '../../lib/server/http/http_app.js';
import { chromiumPath, launchChromium } from '../kit/browser/chromium.js';
import { figure, violationsOf } from '../kit/browser/served_page.js';
import { candidateOf, recordOf, reportOf } from '../kit/cluster/views.js';

const NOTICE = chromiumPath() === undefined ? ': SKIPPED, no Chromium is installed here (apt install chromium)' : '';

const VIEWS: readonly InstanceView[] = [
  candidateOf('decode-0', {
    record: { role: 'decode', numRanks: 2 },
    load: reportOf('decode-0', { numRunning: 3, numWaiting: 1, numUsedBlocks: 25, numCachedBlocks: 10, tbtMs: 12 }),
  }),
  candidateOf('prefill-0', { record: { role: 'prefill' }, isHealthy: false, load: reportOf('prefill-0') }),
  candidateOf('vllm', { record: { kind: 'foreign' }, numRequests: 2 }),
];

/** Serves a router's page with these instances. */
async function withPage(browser: Browser, act: (page: Page, feed: ClusterFeed, complaints: string[]) => Promise<void>) {
  const { server } = await loadConfig({ base: { model: DEMO_MODEL } });
  const app = httpApp(server, null, pino({ level: 'silent' }));
  const bus = new LocalBus();
  const router = { name: 'two cities', version: '0', policy: 'kv' };
  const feed = new ClusterFeed({ router, views: () => VIEWS, bus });
  clusterPage(app, feed, server.max_unread_bytes);
  await bus.join(recordOf('decode-0', { role: 'decode' }), { wanted: () => undefined, trouble: () => undefined });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  try {
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`);
    await page.locator('[data-figure="up"]').waitFor();
    await act(page, feed, complaints);
  } finally {
    await context.close();
    await app.close();
    await bus.close();
  }
}

describe(`a router’s live page in Chromium${NOTICE}`, function () {
  this.timeout(60_000);
  let browser: Browser;

  before(async function () {
    const launched = await launchChromium();
    if (launched === null) return this.skip();
    browser = launched;
  });
  after(async () => {
    if (chromiumPath() !== undefined) await browser.close();
  });

  it('shows instances, what they have in hand, and what happened, without a complaint', () =>
    withPage(browser, async (page, feed, complaints) => {
      const rowOf = (id: string): Promise<string> => page.locator(`[data-instance="${id}"]`).innerText();
      expect((await rowOf('decode-0')).split('\t').map((cell) => cell.trim())).to.deep.equal([
        ...['decode-0', 'decode', 'up', '2', '3', '1', '0', '12.0 ms', '25 %, 25 of 100, 10 cached'],
      ]);
      expect(await rowOf('prefill-0')).to.match(/prefill\s+failing/);
      expect(await rowOf('vllm')).to.match(/other server\s+up\s+–\s+2/);
      expect([await figure(page, 'up'), await figure(page, 'running'), await figure(page, 'kv')]).to.deep.equal([
        ...['2', '5', '25 %'],
      ]);
      await page.getByText('decode-0 came (decode)').waitFor();
      feed.over({
        asked: { id: 'r', endpoint: '/v1/completions', method: 'POST', isStream: true },
        ...{ instances: ['a'], numRetries: 0, numResumes: 0, numPromptTokens: 10, numCachedTokens: 4 },
        ...{ numOutputTokens: 3, status: 200, isCutOff: false, firstTokenMs: 20, ms: 50 },
        moves: [{ request: 'r', from: 'a', to: 'b', why: 'drain', ms: 7, isDone: true }],
      });
      await page.getByText('r moved from a to b (drain, 7 ms)').waitFor();
      expect([await figure(page, 'cached'), await figure(page, 'requests')]).to.deep.equal(['40 %', '1']);
      expect(complaints).to.deep.equal([]);
    }));

  it('can be read by everybody', () =>
    withPage(browser, async (page) => {
      expect(await violationsOf(page)).to.deep.equal([]);
    }));
});
