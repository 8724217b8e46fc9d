import { expect } from 'chai';
import type { Browser } from 'playwright-core';
import { balanceSpec } from '../../lib/pictures/balance/balance_plots.js';
import { htmlPage } from '../../lib/pictures/html.js';
import { renderSvg } from '../../lib/pictures/render.js';
import { chromiumPath, launchChromium } from '../kit/browser/chromium.js';

const NOTICE = chromiumPath() === undefined ? ': SKIPPED, no Chromium is installed here (apt install chromium)' : '';

describe(`pictures as pages in Chromium${NOTICE}`, function () {
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

  it('the mark under the pointer says its numbers, nothing is fetched and nothing fails', async () => {
    const ranks = [{ name: 'of the run', load_LR: [[14, 6]], balancedness: 0.7 }];
    const spec = balanceSpec({
      title: 'a run',
      ...{ load_LE: [[4, 10, 6, 0]], ranks, rebalances: [] },
      balanceOverTime: [1, 2, 3].map((step) => ({ step, numSteps: 1, meanLoad: step, maxLoad: 4 })),
    });
    const page = await browser.newPage({ viewport: { width: 1000, height: 1600 } });
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    page.on('pageerror', (error) => asked.push(error.message));
    await page.setContent(htmlPage('a run', await renderSvg(spec), spec));
    const says = page.locator('#mark-says');
    expect(await says.isVisible()).to.equal(false);
    await page.locator('[aria-label^="expert: 1;"]').hover();
    expect(await says.locator('tr').allInnerTexts()).to.deep.include('expert\t1');
    const box = (await page.locator('[aria-label^="step: 2;"]').first().boundingBox())!;
    await page.mouse.move(box.x + box.width / 2 + 9, box.y + box.height / 2 + 9); // beside the point
    expect(await says.innerText()).to.match(/step\s+2\b/);
    await page.mouse.move(2, 2);
    expect(await says.isVisible()).to.equal(false);
    expect(asked).to.deep.equal([]);
  });
});
