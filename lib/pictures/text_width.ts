/** How wide a text is in print, without a browser that could say so. Pure. */

/** Of Arial, and of Arimo and Liberation Sans, which are as wide, in thousandths of the font's size: from space to tilde. */
const ASCII =
  '278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 278 278 584 584 584 556 ' +
  '1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 ' +
  '333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 260 334 584';
const WIDTHS = ASCII.split(' ').map((width) => Number(width) / 1000);

/** In the unit of `fontSize`. What is neither ASCII nor East Asian counts as a letter of middle width; bold is 8 % wider. */
export function textWidth(text: string, fontSize: number, isBold = false): number {
  let width = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    width += WIDTHS[code - 32] ?? (code < 0x2e80 ? 0.6 : 1);
  }
  return width * fontSize * (isBold ? 1.08 : 1);
}

/** Lines of whole words that are at most `width` wide; a word that is wider has a line of its own. */
export function wrapped(text: string, width: number, fontSize: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)!} ${word}`;
    if (lines.length > 0 && textWidth(longer, fontSize) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
