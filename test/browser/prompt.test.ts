import { expect } from 'chai';
import type { Browser, Locator, Page } from 'playwright-core';
import { loadConfig } from '../../lib/config/load.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { Engine } from '../../lib/head/engine.js';
import { chromiumPath, launchChromium } from '../kit/browser/chromium.js';
import { openPage, violationsOf, type OpenedPage } from '../kit/browser/served_page.js';
import { generateIds, type Generated } from '../kit/engine/engines.js';
import { StepGate } from '../kit/engine/step_gate.js';

const NOTICE = chromiumPath() === undefined ? ': SKIPPED, no Chromium is installed here (apt install chromium)' : '';
const PROMPT = 'Call me Ishmael.';
const NUM_TOKENS = 24;

describe(`the prompt box of the live page, over the demo model on two ranks${NOTICE}`, function () {
  this.timeout(120_000);
  let browser: Browser;
  let engine: Engine;
  const gate = new StepGate();
  let opened: OpenedPage;
  /** What the engine itself says of the same prompt. */
  let wanted: Generated;
  let numPrompt: number;

  before(async function () {
    const launched = await launchChromium();
    if (launched === null) return this.skip();
    browser = launched;
    const config = await loadConfig({ base: { model: DEMO_MODEL, parallel: { ranks: 2 } } });
    engine = await Engine.start({ config, observer: gate });
    const promptTokenIds = engine.tokenizer!.encode(PROMPT);
    numPrompt = promptTokenIds.length;
    wanted = await generateIds(engine, { promptTokenIds, maxNewTokens: NUM_TOKENS, ignoreEos: false });
    opened = await openPage(browser, engine, { reducedMotion: 'reduce' }); // what is scrolled is there at once
    await run(opened.page);
  });
  after(async () => {
    if (chromiumPath() === undefined) return;
    gate.open();
    await opened.close();
    await engine.close();
    await browser.close();
  });

  async function run(page: Page): Promise<void> {
    await page.getByLabel('Text to continue').fill(PROMPT);
    await page.getByLabel('Tokens', { exact: true }).fill(String(NUM_TOKENS));
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByText(/^\d+ tokens: /).waitFor();
  }

  const layerOf = (page: Page): Locator => page.locator('#prompt select');

  /** The numbers under the tokens. */
  const shown = (page: Page): Promise<string[]> => page.locator('.token .by').allInnerTexts();
  /** First choices of a layer, as the engine has them; the last token was never fed to the model. */
  const firstsOf = (layer: number): string[] => [
    ...wanted.routedExperts.map((experts) => String(experts[layer]![0])),
    '·',
  ];

  it('shows the prompt and every token that comes', async () => {
    const texts = await opened.page.locator('.token .text').allTextContents();
    expect(texts).to.have.length(numPrompt + wanted.tokenIds.length);
    expect(texts.slice(0, numPrompt).join('')).to.equal(`<|begin|>${PROMPT}`);
    const output = engine.tokenizer!.decode(wanted.tokenIds);
    expect(texts.slice(numPrompt).join('').replaceAll('⏎', '\n')).to.equal(output);
  });

  it('tokens have the experts that the engine reports, in the layer that is chosen', async () => {
    const { page } = opened;
    for (const layer of [0, 1]) {
      await layerOf(page).selectOption({ index: layer });
      expect(await shown(page)).to.deep.equal(firstsOf(layer));
    }
  });

  it('tokens of one expert have one colour, and neighbouring experts different ones', async () => {
    const { page } = opened;
    const colors = await page.evaluate<[string, string][]>(
      `[...document.querySelectorAll('.token.colored')].map((token) => [token.querySelector('.by').innerText, getComputedStyle(token).backgroundColor])`,
    );
    expect(colors).to.have.length(numPrompt + wanted.tokenIds.length - 1);
    const ofExpert = new Map(colors);
    for (const [expert, color] of colors) expect(ofExpert.get(expert)).to.equal(color);
    expect(new Set(ofExpert.values()).size).to.equal(ofExpert.size);
  });

  /** The places of the tokens that took an expert, first or not. */
  const takersOf = (layer: number, expert: number): number[] =>
    wanted.routedExperts.flatMap((experts, i) => (experts[layer]!.includes(expert) ? [i] : []));
  const marked = (page: Page): Promise<number[]> =>
    page.evaluate(
      `[...document.querySelectorAll('.token')].flatMap((token, i) => (token.matches('.taking') ? [i] : []))`,
    );

  it('a click on an expert of the legend marks the tokens that took it, and another click none', async () => {
    const { page } = opened;
    await layerOf(page).selectOption({ index: 1 });
    const button = page.locator('.experts-legend button').first();
    const expert = Number(await button.locator('b').innerText());
    await button.click();
    expect(await button.getAttribute('aria-pressed')).to.equal('true');
    expect(takersOf(1, expert)).to.have.length.above(0);
    expect(await marked(page)).to.deep.equal(takersOf(1, expert));
    await button.click();
    expect(await marked(page)).to.deep.equal([]);
  });

  it('a click on an expert of the map does the same, and chooses its layer', async () => {
    const { page } = opened;
    const canvas = page.locator('.heat canvas');
    const box = (await canvas.boundingBox())!;
    const numLayers = wanted.routedExperts[0]!.length;
    const expert = wanted.routedExperts[0]![2]![0]!;
    const { numExperts } = engine.spec.moe.gate;
    await canvas.click({
      position: { x: ((expert + 0.5) * box.width) / numExperts, y: (2.5 * box.height) / numLayers },
    });
    expect(await layerOf(page).inputValue()).to.equal('2');
    expect(await marked(page)).to.deep.equal(takersOf(2, expert));
    await page.getByText(`tokens took expert ${expert} of layer`).waitFor();
  });

  it('arrow keys go from token to token, and Enter takes the expert of one', async () => {
    const { page } = opened;
    await layerOf(page).selectOption({ index: 0 });
    await page.locator('.token').first().focus();
    await page.keyboard.press('ArrowRight');
    const text = await page.locator('.tokens + .details').innerText();
    expect(text).to.include(`experts ${wanted.routedExperts[1]![0]!.join(', ')}`);
    await page.keyboard.press('Enter');
    expect(await marked(page)).to.deep.equal(takersOf(0, wanted.routedExperts[1]![0]![0]!));
    expect(await page.locator('.token[tabindex="0"]').count()).to.equal(1);
  });

  it('axe finds nothing wrong with coloured and marked tokens, in light and in dark colours', async () => {
    const { page } = opened;
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.locator(`:root[data-scheme="${colorScheme}"]`).waitFor();
      expect(await violationsOf(page)).to.deep.equal([]);
    }
  });

  it('Stop ends a run, and the engine lets go of it', async () => {
    const { page } = opened;
    const running = (count: number): Locator =>
      page.locator('[data-figure="running"]', { hasText: new RegExp(`^${count}$`) });
    const numRunning = (): number => engine.load.ranks.reduce((sum, rank) => sum + rank.numRunning, 0);
    // The run can't end by itself, however slow the browser is: its sixth step waits for the end of this test.
    gate.closeAfter(5);
    await page.getByLabel('Tokens', { exact: true }).fill('400');
    const start = page.getByRole('button', { name: 'Run' });
    await start.scrollIntoViewIfNeeded();
    const box = await start.boundingBox();
    await start.click();
    await page.locator('.token.output').nth(4).waitFor();
    await running(1).waitFor();
    expect(numRunning()).to.equal(1);
    const stop = page.getByRole('button', { name: 'Stop' });
    expect(await stop.boundingBox()).to.deep.equal(box);
    await stop.click();
    await page.getByText('Stopped').waitFor();
    await running(0).waitFor();
    expect(numRunning()).to.equal(0);
    expect(await page.locator('.token.output').count()).to.equal(5);
    gate.open();
  });

  it('says in the server’s words what it refuses', async () => {
    const { page } = opened;
    await page.getByLabel('Text to continue').fill('word '.repeat(4000));
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByText(/^It failed: .*tokens/).waitFor();
  });

  it('all of that without a complaint but that of the refused request', () => {
    const complaints = opened.complaints.filter((text) => !text.includes('status of 400'));
    expect(complaints).to.deep.equal([]);
  });
});
