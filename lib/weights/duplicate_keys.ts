import { endOfString } from './json_text.js';

/**
 * Finds a key that occurs twice in one object of a JSON text, at any depth. `JSON.parse` silently keeps the last of the
 * two, so a file that means two things would be read as one of them.
 *
 * @param text valid JSON: parse it first
 * @returns the first repeated key, or undefined
 */
export function findDuplicateKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  let lastString = '';
  // In valid JSON a colon outside of strings always follows a key, so arrays need no attention.
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') {
      const end = endOfString(text, i);
      lastString = text.slice(i, end);
      i = end - 1;
    } else if (character === '{') open.push(new Set());
    else if (character === '}') open.pop();
    else if (character === ':') {
      const key = JSON.parse(lastString) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}
