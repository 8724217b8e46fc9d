/** Text of a model as a terminal may get it: what it would obey is spelled out; new lines and tabs stay. Pure. */

// eslint-disable-next-line no-control-regex -- they are what is looked for
const OBEYED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Carriage returns go: they would write over the line. */
export const terminalText = (text: string): string =>
  text
    .replaceAll('\r', '')
    .replace(OBEYED, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
