/**
 * Takes the pictures of the live page in docs/pictures, after a build: `node scripts/screenshots.mjs`. The server and the page are real; the engine's steps are
 * staged, so that five minutes pass in a second, and its texts are those that the demo model made.
 */
import { Buffer } from 'node:buffer';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { clearInterval, setInterval } from 'node:timers';
import { crc32, deflateSync } from 'node:zlib';
import { launchChromium } from '../dist/test/kit/browser/chromium.js';
import { serve } from '../dist/test/kit/browser/served_page.js';
import { BusyScene, StagedClock, stagedRequests } from '../dist/test/kit/server/busy_scene.js';
import { StagedEngine } from '../dist/test/kit/server/staged_engine.js';

const FOLDER = 'docs/pictures';
const SHAPE = { numLayers: 26, numExperts: 64, numRanks: 4, numRedundant: 8 };
const MINUTES = 5;
const STEP_MS = 20;
const WIDE = { viewport: { width: 1200, height: 1560 }, from: '#main' };
const PICTURES = [
  { name: 'page-light', ...WIDE, colorScheme: 'light' },
  { name: 'page-dark', ...WIDE, colorScheme: 'dark' },
  { name: 'page-phone', viewport: { width: 360, height: 1480 }, from: '#experts', colorScheme: 'light' },
];

/** Runs in the page, which decodes the picture. */
const pixelsOf = `async (url) => {
  const bitmap = await createImageBitmap(await new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.src = url;
  }));
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  let text = '';
  for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
  return { width, height, base64: btoa(text) };
}`;

const browser = await launchChromium();
if (browser === null) {
  process.stderr.write('screenshots: no Chromium is installed here; apt install chromium\n');
  process.exit(1);
}
mkdirSync(FOLDER, { recursive: true });
for (const picture of PICTURES) await take(picture);
await browser.close();

async function take({ name, from, ...context }) {
  const engine = new StagedEngine(SHAPE, await stagedRequests(SHAPE));
  const clock = new StagedClock();
  clock.advance(-MINUTES * 60_000);
  const [server, url] = await serve(engine);
  const scene = new BusyScene(engine, SHAPE);
  while (clock.behindMs > 0) scene.step(clock);
  clock.close();
  const running = setInterval(() => scene.step(null), STEP_MS);
  const page = await browser.newPage(context);
  await page.goto(url);
  await page.getByRole('button', { name: 'Run' }).click();
  await page.getByText(/^\d+ tokens: /).waitFor();
  await page.locator('.experts-legend button').first().click();
  await page.mouse.move(0, 0);
  await page.evaluate(`document.querySelector('${from}').scrollIntoView({ behavior: 'instant' })`);
  const taken = await page.screenshot();
  writeFileSync(join(FOLDER, `${name}.png`), await smaller(page, taken));
  clearInterval(running);
  await page.close();
  await server.close();
}

/** The same picture with 256 colours: less than half the bytes, and nobody sees a difference. */
async function smaller(page, png) {
  const url = `data:image/png;base64,${png.toString('base64')}`;
  const { width, height, base64 } = await page.evaluate(`(${pixelsOf})(${JSON.stringify(url)})`);
  const pixels = Buffer.from(base64, 'base64');
  const counts = new Map();
  const colorAt = (i) => pixels.readUInt32BE(4 * i) >>> 8;
  for (let i = 0; i < width * height; i++) counts.set(colorAt(i), (counts.get(colorAt(i)) ?? 0) + 1);
  const palette = paletteOf([...counts].sort((a, b) => b[1] - a[1]).map(([color]) => color));
  const nearest = new Map([...counts.keys()].map((color) => [color, nearestOf(palette, color)]));
  const rows = Buffer.alloc((width + 1) * height); // each begins with its filter: none
  for (let i = 0; i < width * height; i++) rows[i + Math.floor(i / width) + 1] = nearest.get(colorAt(i));
  const header = Buffer.from([...bytes4(width), ...bytes4(height), 8, 3, 0, 0, 0]);
  const colors = Buffer.from(palette.flatMap((color) => bytes4(color).slice(1)));
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  const body = deflateSync(rows, { level: 9, memLevel: 9 });
  return Buffer.concat([signature, chunk('IHDR', header), chunk('PLTE', colors), chunk('IDAT', body), chunk('IEND')]);
}

/** Half of them the most frequent ones, half the most frequent of each neighbourhood: rare colours are seen too. */
function paletteOf(colors) {
  const common = colors.slice(0, 128);
  const neighbourhoods = new Map(
    colors
      .slice(128)
      .map((color) => [color & 0xf0f0f0, color])
      .reverse(),
  );
  return [...common, ...[...neighbourhoods.values()].reverse().slice(0, 128)];
}

function nearestOf(palette, color) {
  const distance = (a, b) =>
    [16, 8, 0].reduce((sum, shift) => sum + (((a >> shift) & 255) - ((b >> shift) & 255)) ** 2, 0);
  return palette.reduce((best, each, i) => (distance(each, color) < distance(palette[best], color) ? i : best), 0);
}

function bytes4(value) {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
}

function chunk(name, data = Buffer.alloc(0)) {
  const named = Buffer.concat([Buffer.from(name), data]);
  return Buffer.concat([Buffer.from(bytes4(data.length)), named, Buffer.from(bytes4(crc32(named)))]);
}
