/** Colours that stand for numbers. Pure. Why: docs/decisions/page.md#colours */

/** Red, green and blue, 0 … 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** Matplotlib's viridis, dark to light: lightness rises evenly, also for those who see fewer colours. For a dark ground. */
const VIRIDIS: readonly Rgb[] = [
  [0x44, 0x01, 0x54],
  [0x48, 0x28, 0x78],
  [0x3e, 0x49, 0x89],
  [0x31, 0x68, 0x8e],
  [0x26, 0x82, 0x8e],
  [0x1f, 0x9e, 0x89],
  [0x35, 0xb7, 0x79],
  [0x6e, 0xce, 0x58],
  [0xb5, 0xde, 0x2b],
  [0xfd, 0xe7, 0x25],
];

/** ColorBrewer's YlGnBu, light to dark: the same for a light ground. */
const YELLOW_TO_BLUE: readonly Rgb[] = [
  [0xff, 0xff, 0xd9],
  [0xed, 0xf8, 0xb1],
  [0xc7, 0xe9, 0xb4],
  [0x7f, 0xcd, 0xbb],
  [0x41, 0xb6, 0xc4],
  [0x1d, 0x91, 0xc0],
  [0x22, 0x5e, 0xa8],
  [0x25, 0x34, 0x94],
  [0x08, 0x1d, 0x58],
];

/** The colour of a share 0 … 1: more stands out more from the ground. */
export function sequentialColor(share: number, isDark: boolean): Rgb {
  const colors = isDark ? VIRIDIS : YELLOW_TO_BLUE;
  const at = Math.min(Math.max(share, 0), 1) * (colors.length - 1);
  const i = Math.min(Math.floor(at), colors.length - 2);
  const [from, to] = [colors[i]!, colors[i + 1]!];
  const mixed = (channel: 0 | 1 | 2): number => Math.round(from[channel] + (to[channel] - from[channel]) * (at - i));
  return [mixed(0), mixed(1), mixed(2)];
}

/** For each byte of a map of load, which are roots of shares, four bytes as pictures have them: red, green, blue, opacity. */
export function loadColors(isDark: boolean): Uint8Array {
  const table = new Uint8Array(4 * 256);
  for (let i = 0; i < 256; i++) table.set([...sequentialColor((i / 255) ** 2, isDark), 255], 4 * i);
  return table;
}

/** As CSS writes it. */
export const cssOf = ([red, green, blue]: Rgb): string => `rgb(${red} ${green} ${blue})`;

/** Black or white, whichever is read better on a colour: at least 4.5 : 1 on every one. */
export const inkOn = (color: Rgb): '#000' | '#fff' => (luminanceOf(color) > 0.179 ? '#000' : '#fff');

/** WCAG's relative luminance. */
export function luminanceOf(color: Rgb): number {
  const [red, green, blue] = color.map((channel) => {
    const c = channel / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as unknown as Rgb;
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** A hue in degrees for an expert: neighbours are far from each other (the golden angle). */
export const hueOf = (expert: number): number => Math.round((30 + expert * 137.508) % 360);
