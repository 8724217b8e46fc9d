import { expect } from 'chai';
import type { Browser } from 'playwright-core';
import { EngineError } from '../../lib/protocol/errors.js';
import { LIVE_LIMITS } from '../../lib/server/live/messages.js';
import { chromiumPath, launchChromium } from '../kit/browser/chromium.js';
import {
  figure,
  openPage,
  serve,
  violationsOf,
  type OpenedPage,
  type PageOptions,
} from '../kit/browser/served_page.js';
import { StagedEngine } from '../kit/server/staged_engine.js';

const NOTICE = chromiumPath() === undefined ? ': SKIPPED, no Chromium is installed here (apt install chromium)' : '';
const SMALL = { numLayers: 2, numExperts: 8, numRanks: 2, numRedundant: 2 };
const DEEP = { numLayers: 3, numExperts: 32, numRanks: 2 };
const LARGE = { numLayers: 60, numExperts: 256, numRanks: 8, numRedundant: 16 };
/** How often. */
interface Drawn {
  readonly putImageData: number;
  readonly drawImage: number;
}

/** Tokens for the first experts of each layer. */
const loadOf = (numLayers: number, numExperts: number, step = 1): number[][] =>
  Array.from({ length: numLayers }, (_, l) =>
    Array.from({ length: numExperts }, (_, e) => (7 * e + 3 * l + step) % 11),
  );

describe(`the live page in Chromium${NOTICE}`, function () {
  this.timeout(60_000);
  let browser: Browser;
  let opened: OpenedPage | undefined;

  before(async function () {
    const launched = await launchChromium();
    if (launched === null) return this.skip();
    browser = launched;
  });
  afterEach(async () => {
    await opened?.close();
    opened = undefined;
  });
  after(async () => {
    if (chromiumPath() !== undefined) await browser.close();
  });

  /** With a few steps behind it. */
  async function open(
    shape = SMALL,
    options: PageOptions = {},
  ): Promise<OpenedPage & { readonly engine: StagedEngine }> {
    const engine = new StagedEngine(shape);
    const { numLayers, numExperts } = shape;
    opened = await openPage(browser, engine, options);
    engine.step({ prefill_R: [5, 3], load_LE: loadOf(numLayers, numExperts), bytes: 4096, admitted_R: [1, 1] });
    engine.step({ decode_R: [1, 2], load_LE: loadOf(numLayers, numExperts), bytes: 4096 });
    if (options.apiKeys === undefined) await opened.page.locator('[data-figure="output"]').waitFor();
    return { ...opened, engine };
  }

  it('loads without a complaint, and asks nobody but its server', async () => {
    const { page, url, complaints, requested } = await open();
    await page.getByText('step 1,').waitFor();
    expect(complaints).to.deep.equal([]);
    expect(requested.every((each) => each.startsWith(url) || each.startsWith('data:'))).to.equal(true);
    expect(new Set(requested.map((each) => new URL(each).pathname))).to.include.keys('/', '/page.js', '/live/events');
  });

  it('shows the numbers of the server', async () => {
    const { page, engine } = await open();
    engine.counts = { ...engine.counts, numPrefixQueries: 200, numPrefixHits: 50 };
    const disk = { tier: 'disk', numBlocks: 7, numBytes: 3 * 2 ** 30, maxBytes: 4 * 2 ** 30 } as const;
    engine.load = engine.loadOf(3, (rank) => ({
      ...{ numRunning: 4 + rank, numUsedBlocks: 120 * (1 + rank), numCachedBlocks: 17 * rank },
      ...{ numPinnedBlocks: 3 * rank, tiers: [disk] },
    }));
    const moved = { numLoaded: 2, loadedBytes: 200, numStored: 5, storedBytes: 500, numLost: 0 };
    engine.counts = { ...engine.counts, tiers: [{ tier: 'disk', numQueries: 150, numHits: 30, ...moved }] };
    await page.getByText('3 waiting').waitFor();
    expect(await figure(page, 'running')).to.equal('9');
    expect(await figure(page, 'kv')).to.equal('24 %');
    const { numOutputTokens, numPromptTokens } = engine.stats();
    expect(await figure(page, 'output-more')).to.equal(`${numOutputTokens} so far`);
    expect(await figure(page, 'prompts-more')).to.equal(`${numPromptTokens} so far, 25 % cached`);
    expect(await page.locator('[data-rank="1"]').innerText()).to.match(
      /1\s+5\s+24 %, 240 of 1,000, 17 cached, 3 pinned\s+75 %, disk: 7 blocks, 3.00 GiB of 4.00 GiB/,
    );
    expect(await figure(page, 'found')).to.equal('Found: cache 25 % of 200 tokens, disk 20 % of 150 tokens.');
    const name = await page.locator('.lanes').getAttribute('aria-label');
    expect(name).to.equal(
      '2 steps: 3 generated tokens and 8 prompt tokens, at most 5 on a rank; 2 admitted, 0 gave way',
    );
  });

  it('tells of a rank that was lost, and that its experts are on no other rank', async () => {
    const { page, engine } = await open();
    const error = new EngineError('RANK_LOST', 'played');
    engine.lose({
      epoch: 1,
      lost: [{ rank: 1, error }],
      abandonedStep: null,
      numRanksLeft: 1,
      numRecomputed: 0,
      numFailed: 0,
    });
    await page.getByText('lost rank 1 (RANK_LOST): 1 left').waitFor();
    expect(await page.locator('[data-rank="1"]').innerText()).to.include('lost');
    await page.locator('.heat canvas').focus();
    await page.keyboard.press('End');
    await page.locator('p.details', { hasText: 'expert 7' }).waitFor();
    expect(await page.locator('.under .details').innerText()).to.include('on no rank that is left');
  });

  it('the map is gone over with the keyboard, says what it is at, and selects', async () => {
    const { page } = await open();
    await page.locator('.heat canvas').focus();
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowDown']) await page.keyboard.press(key);
    const spoken = page.locator('.heat [aria-live="polite"]');
    expect(await spoken.innerText()).to.match(
      /^Layer 2, expert 2: \d\.\d\d × its layer’s mean, about \d+ tokens, on rank \d/,
    );
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab'); // away: what is selected stays
    expect(await page.locator('.under .details').innerText()).to.match(/^Layer 2, expert 2:/);
    await page.locator('.heat canvas').focus();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Tab');
    expect(await page.locator('.under .details').innerText()).to.match(/^Point at an expert/);
  });

  it('the first stop of the Tab key leads to the content', async () => {
    const { page } = await open();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent.trim()')).to.equal('Skip to the content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.id')).to.equal('main');
  });

  it('nothing hides at the side of a screen of 360 pixels', async () => {
    const { page } = await open(LARGE, { viewport: { width: 360, height: 740 } });
    await page.getByText('step 1,').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).to.equal(360);
    const wide = await page.evaluate(`[...document.querySelectorAll('main *')].filter((element) =>
      element.getBoundingClientRect().right > 360 && element.closest('.scroll') === null && element.closest('.hidden') === null
      && !element.matches('.hidden')).map((element) => element.className + element.tagName)`);
    expect(wide).to.deep.equal([]);
  });

  for (const width of [360, 800, 1280]) {
    it(`the buttons of the prompt stay where they are while numbers grow above them, at ${width} pixels`, async () => {
      const engine = new StagedEngine(DEEP);
      opened = await openPage(browser, engine, { viewport: { width, height: 900 } });
      const { page } = opened;
      await page.locator('.heat canvas').focus();
      await page.keyboard.press('Enter');
      await page.locator('.under .details', { hasText: 'Layer 1, expert 0' }).waitFor();
      const button = (): Promise<unknown> =>
        page.evaluate(`(({ left, top, width }) => [left, top + scrollY, width].map(Math.round))(
          document.querySelector('.ask button').getBoundingClientRect())`);
      const atFirst = await button();
      const load_LE = Array.from({ length: 3 }, (_, l) => Array.from({ length: 32 }, (_, e) => 7919 * (l + 32 - e)));
      for (const rank of [0, 1]) engine.tell({ kind: 'admitted', sequence: rank, rank, numCachedTokens: 0 });
      engine.counts = { ...engine.counts, numPreempted: 12_345, numPrefixQueries: 200, numPrefixHits: 50 };
      engine.load = engine.loadOf(12_345, () => ({ numRunning: 64, numUsedBlocks: 1000 }));
      const many = [12_345, 12_345];
      engine.step({ prefill_R: many, decode_R: many, load_LE, bytes: 1e9, admitted_R: [64, 64], stepMs: 12_345 });
      await page.getByText('25 % cached').waitFor();
      await page.locator('.hottest tbody tr').nth(8).waitFor();
      expect(await button()).to.deep.equal(atFirst);
    });
  }

  it('doesn’t scroll after the most loaded experts when they change places', async () => {
    const { page, engine } = await open(SMALL, { viewport: { width: 800, height: 900 }, reducedMotion: 'reduce' });
    const rows = page.locator('.hottest tbody tr');
    const first = (): Promise<string> => rows.first().innerText();
    const loadTo = (hot: number): number[][] =>
      Array.from({ length: 2 }, () => Array.from({ length: 8 }, (_, e) => 1000 * (8 - Math.abs(hot - e))));
    engine.step({ load_LE: loadTo(7) });
    await page.getByText('step 2,').waitFor();
    const [before, top] = [
      await first(),
      await page.evaluate(
        '(scrollTo(0, document.querySelector(".hottest tbody").getBoundingClientRect().top + scrollY + 10), scrollY)',
      ),
    ];
    for (let i = 0; i < 4; i++) engine.step({ load_LE: loadTo(0) });
    await page.getByText('step 6,').waitFor();
    await page.evaluate('new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))');
    expect(await first()).not.to.equal(before);
    expect(await page.evaluate('scrollY')).to.equal(top);
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [360, 1280]) {
      it(`axe finds nothing wrong at ${width} pixels in ${colorScheme} colours`, async () => {
        const { page, engine } = await open(SMALL, { colorScheme, viewport: { width, height: 900 } });
        engine.moveExperts({ kind: 'failed', error: new EngineError('REBALANCE_FAILED', 'played') });
        // First what comes by itself: it moves what is clicked.
        await page.getByText('step 1,').waitFor();
        await page.getByText('experts stay where they are').waitFor();
        await page.getByText('As a table').click();
        await page.locator('details[open]').waitFor();
        expect(await page.evaluate('document.documentElement.dataset.scheme')).to.equal(colorScheme);
        expect(await violationsOf(page)).to.deep.equal([]);
      });
    }
  }

  it('whoever looks can choose the colours, which stay', async () => {
    const { page } = await open(SMALL, { colorScheme: 'light' });
    const ground = 'getComputedStyle(document.body).backgroundColor';
    const light = await page.evaluate(ground);
    await page.getByLabel('Colours').selectOption('dark');
    expect(await page.evaluate(ground)).not.to.equal(light);
    await page.reload();
    await page.locator('[data-figure="output"]').waitFor();
    expect(await page.evaluate('document.documentElement.dataset.scheme')).to.equal('dark');
  });

  it('follows the system while nobody chose', async () => {
    const { page } = await open(SMALL, { colorScheme: 'light' });
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.locator(':root[data-scheme="dark"]').waitFor();
  });

  it('nothing moves where that is not wanted', async () => {
    const { page } = await open(SMALL, { reducedMotion: 'reduce' });
    expect(await page.evaluate('getComputedStyle(document.documentElement).scrollBehavior')).to.equal('auto');
    expect(
      await page.evaluate(`getComputedStyle(document.querySelector('.meter > i > i')).transitionDuration`),
    ).to.equal('0s');
  });

  it('60 × 256 experts are redrawn as three pictures, whatever changed of their load', async () => {
    // Counts what is drawn on canvases of the map: the one that is shown, and the two that it is made of.
    const before = `window.drawn = {};
      for (const name of ['putImageData', 'drawImage', 'fillRect', 'strokeRect', 'fill', 'stroke']) {
        const draw = CanvasRenderingContext2D.prototype[name];
        CanvasRenderingContext2D.prototype[name] = function (...args) {
          if (!this.canvas.closest('.uplot')) drawn[name] = (drawn[name] ?? 0) + 1;
          return draw.apply(this, args);
        };
      }`;
    const { page, engine } = await open(LARGE, { before });
    await page.getByText('step 1,').waitFor();
    await page.evaluate('window.drawn = {}; window.sinceMs = performance.now()');
    const numDeltas = 3;
    for (let i = 0; i < numDeltas; i++) {
      engine.step({ load_LE: loadOf(60, 256, i) });
      await page.getByText(`step ${2 + i},`).waitFor();
    }
    const [drawn, passedMs] = await page.evaluate<[Drawn, number]>('[drawn, performance.now() - sinceMs]');
    expect(drawn).to.have.all.keys('putImageData', 'drawImage');
    expect(drawn.drawImage).to.equal(2 * drawn.putImageData);
    // Deltas without a step come between, and the page draws no more often than it hears.
    expect(drawn.putImageData).to.be.within(numDeltas, (2 * passedMs) / LIVE_LIMITS.intervalMs + 8);
    expect(await page.evaluate(`document.querySelectorAll('.heat *').length`)).to.be.below(100);
  });

  it('says that it lost the server, and is back when the server is', async () => {
    const { page, engine, server, url } = await open();
    const status = page.locator('.status');
    await status.getByText('Live', { exact: true }).waitFor();
    await server.close();
    // In one look: between two tries it says that it connects.
    await status.filter({ hasText: /Disconnected.*again in \d+ s/ }).waitFor();
    expect(await violationsOf(page)).to.deep.equal([]);
    const [again] = await serve(engine, [], Number(new URL(url).port));
    try {
      await status.getByText('Live', { exact: true }).waitFor();
    } finally {
      await again.close();
    }
  });

  it('doesn’t watch while nobody sees it', async () => {
    const { page } = await open();
    const status = page.locator('.status');
    const hide = (isHidden: boolean): Promise<unknown> =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { configurable: true, value: ${isHidden} });
        document.dispatchEvent(new Event('visibilitychange'))`);
    await hide(true);
    await status.getByText('Paused', { exact: true }).waitFor();
    await hide(false);
    await status.getByText('Live', { exact: true }).waitFor();
  });

  it('asks for the key, which stays in the tab', async () => {
    const { page } = await open(SMALL, { apiKeys: ['right'] });
    const input = page.getByLabel('Key', { exact: true });
    await input.fill('wrong');
    await input.press('Enter');
    await page.getByText('The server doesn’t know that key.').waitFor();
    expect(await violationsOf(page)).to.deep.equal([]);
    await input.fill('right');
    await input.press('Enter');
    await page.locator('[data-figure="output"]').waitFor();
    expect(await page.evaluate('Object.values(sessionStorage)')).to.deep.equal(['right']);
    expect(await page.evaluate('Object.values(localStorage)')).not.to.include('right');
    expect(page.url()).not.to.include('right');
    await page.reload();
    await page.locator('[data-figure="output"]').waitFor();
  });
});
