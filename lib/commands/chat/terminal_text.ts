/** Text of a model as a terminal may get it: what it would obey is spelled out; new lines and tabs stay. Pure. */
import { escaped } from '../../../base/foreign_text.js';

const OBEYED = /(?![\t\n])\p{Cc}/gu;

/** Carriage returns go: they would write over the line. */
export const terminalText = (text: string): string => text.replaceAll('\r', '').replace(OBEYED, escaped);
