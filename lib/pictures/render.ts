/** From a Vega-Lite specification to a picture, without a browser. The libraries are loaded here alone: they take a fifth of a second. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { LoggerInterface } from 'vega';
import type { TopLevelSpec } from 'vega-lite';
import type { PlotSpec } from './spec.js';
import { textWidth } from './text_width.js';

/** Pictures are drawn at 96 pixels to the inch and printed at 300. */
const PRINT_ZOOM = 300 / 96;

/** What Vega asks for a text's width. Its own guess, without a canvas, is far too wide. */
interface TextItem {
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
}
interface TextMetrics {
  width: (item: TextItem, text: unknown) => number;
}

/** An SVG document. */
export async function renderSvg(spec: PlotSpec): Promise<string> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
  const { textMetrics } = vega as unknown as { readonly textMetrics: TextMetrics };
  textMetrics.width = ({ fontSize = 11, fontWeight }, text) =>
    textWidth(String(text), fontSize, fontWeight === 'bold' || Number(fontWeight) >= 600);
  const { spec: compiled } = compile(spec as unknown as TopLevelSpec, { logger: SILENT });
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', logLevel: vega.Error });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** Advice on specifications is for who writes them, and tests see what they draw. */
const SILENT: LoggerInterface = {
  level: () => SILENT,
  error: () => SILENT,
  warn: () => SILENT,
  info: () => SILENT,
  debug: () => SILENT,
};

/** Of {@link renderSvg}'s documents: a PNG of 300 pixels to the inch, with a font that comes along. */
export async function renderPng(svg: string): Promise<Uint8Array> {
  const [{ Resvg }, fontBuffers] = await Promise.all([resvg(), Promise.all(FONTS.map(bytesOf))]);
  const image = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: PRINT_ZOOM },
    font: { fontBuffers, defaultFontFamily: 'Arimo', sansSerifFamily: 'Arimo' },
  });
  try {
    const rendered = image.render();
    try {
      return rendered.asPng();
    } finally {
      rendered.free();
    }
  } finally {
    image.free();
  }
}

const FONTS = ['400Regular/Arimo_400Regular.ttf', '700Bold/Arimo_700Bold.ttf'].map(
  (file) => `@expo-google-fonts/arimo/${file}`,
);

/** Of a file of a package. */
const bytesOf = (name: string): Promise<Uint8Array> => readFile(fileURLToPath(import.meta.resolve(name)));

/** Its module can be started once in a process. */
let started: Promise<typeof import('@resvg/resvg-wasm')> | undefined;

function resvg(): Promise<typeof import('@resvg/resvg-wasm')> {
  started ??= Promise.all([import('@resvg/resvg-wasm'), bytesOf('@resvg/resvg-wasm/index_bg.wasm')]).then(
    async ([library, module]) => {
      await library.initWasm(module);
      return library;
    },
  );
  return started;
}
