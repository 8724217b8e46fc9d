/** JSON files of model folders: as Python writes them, and as Git leaves them where large files were not fetched. */

/**
 * Parses JSON in which `NaN`, `Infinity` and `-Infinity` may stand for numbers, as Python's json module writes them. A byte order mark at the beginning is no part
 * of the text.
 * @throws SyntaxError as `JSON.parse`
 */
export function parsePythonJson(text: string): unknown {
  const plain = text.startsWith('\uFEFF') ? text.slice(1) : text;
  try {
    return JSON.parse(plain); // nearly all are plain JSON, vocabularies with the word NaN in them too
  } catch (error) {
    if (!/NaN|Infinity/.test(plain)) throw error;
  }
  let mark = '\u0001number ';
  while (plain.includes(JSON.stringify(mark).slice(1, -1))) mark += ' ';
  const marked = withNumbers(plain, (number) => JSON.stringify(mark + number));
  try {
    return JSON.parse(marked, (_key, value: unknown) =>
      typeof value === 'string' && value.startsWith(mark) ? Number(value.slice(mark.length)) : value,
    );
  } catch (error) {
    // It quotes the text: zeros in place of these numbers leave every place in it as it is.
    JSON.parse(withNumbers(plain, (number) => '0'.padEnd(number.length)));
    throw error;
  }
}

/** Every such number written in another way. */
function withNumbers(text: string, written: (number: string) => string): string {
  const pieces: string[] = [];
  let done = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '"') {
      i = endOfString(text, i) - 1;
      continue;
    }
    const found = NUMBERS.find((number) => text.startsWith(number, i));
    if (found === undefined || /^\s*:/.test(text.slice(i + found.length, i + found.length + 64))) continue; // no key
    pieces.push(text.slice(done, i), written(found));
    done = i + found.length;
    i = done - 1;
  }
  return pieces.join('') + text.slice(done);
}

const NUMBERS = ['NaN', '-Infinity', 'Infinity'];

/** One past the closing quote, or past the end where there is none. A loop, because a pattern would need a stack as deep as the string is long. */
export function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}

/** The first bytes of what Git keeps in place of a large file that was not fetched. */
const LFS_POINTER = 'version https://git-lfs.github.com/spec/';

/** Whether a file is a Git LFS pointer, by its first bytes. */
export const isLfsPointer = (bytes: Uint8Array): boolean =>
  Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, LFS_POINTER.length)).toString('latin1') ===
  LFS_POINTER;

/** Bytes of a file that tell whether it is a pointer. */
export const LFS_PREFIX_BYTES = LFS_POINTER.length;

/** What to say of one: what it is and what to do. */
export const LFS_ADVICE =
  'is a Git LFS pointer, a text of a few lines in place of the file itself; run git lfs pull in its folder, or download the file';
