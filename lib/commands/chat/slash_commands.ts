/** What a line that begins with a slash asks for. Pure. */
import { printable } from '../../../base/foreign_text.js';
import { nearestName } from '../advice/near_names.js';

/** A command of a session, and how help tells of it. */
interface SlashCommand {
  /** What follows its name; null: nothing does. */
  readonly takes: string | null;
  readonly isRequired?: boolean;
  readonly does: string;
}

const SLASH_COMMANDS = {
  system: { takes: 'TEXT', does: 'tell the model TEXT before all else; without TEXT show it; "" takes it away' },
  reset: { takes: null, does: 'forget what was said; the system message stays' },
  save: {
    takes: 'FILE',
    isRequired: true,
    does: 'write the conversation as JSON: what /load and generate --messages read',
  },
  load: { takes: 'FILE', isRequired: true, does: 'go on with a saved conversation' },
  experts: { takes: 'LAYER', does: 'the last answer, coloured by the first expert of each token in a MoE layer' },
  help: { takes: null, does: 'this list' },
  quit: { takes: null, does: 'end; Ctrl-D does too' },
} as const satisfies Readonly<Record<string, SlashCommand>>;

/** What a session can be told to do. */
export type SlashName = keyof typeof SLASH_COMMANDS;

const NAMES = Object.keys(SLASH_COMMANDS) as SlashName[];
const OTHER_NAMES: ReadonlyMap<string, SlashName> = new Map([
  ['exit', 'quit'],
  ['bye', 'quit'],
  ['clear', 'reset'],
  ['?', 'help'],
]);

/** What the user wants. */
export type Wish =
  | { readonly kind: 'ask'; readonly text: string }
  | { readonly kind: 'command'; readonly name: SlashName; readonly argument: string }
  /** It can't be done; `why` ends with what to do. */
  | { readonly kind: 'mistake'; readonly why: string };

/** Reads what was entered. Two slashes begin a question that begins with one. */
export function wishOf(text: string): Wish {
  if (!text.startsWith('/')) return { kind: 'ask', text };
  if (text.startsWith('//')) return { kind: 'ask', text: text.slice(1) };
  const [, word = '', argument = ''] = /^\/(\S*)\s*([\s\S]*)$/.exec(text)!;
  const name = OTHER_NAMES.get(word) ?? NAMES.find((each) => each === word);
  if (name === undefined) return { kind: 'mistake', why: adviceOn(word) };
  const { takes, isRequired }: SlashCommand = SLASH_COMMANDS[name];
  if (takes === null && argument !== '')
    return { kind: 'mistake', why: `/${name} takes nothing after it; leave it out` };
  if (isRequired === true && argument === '')
    return { kind: 'mistake', why: `/${name} needs a ${takes!.toLowerCase()}; for example /${name} chat.json` };
  return { kind: 'command', name, argument: argument.trimEnd() };
}

function adviceOn(word: string): string {
  const nearest = nearestName(word, NAMES);
  const meant =
    nearest !== undefined
      ? `did you mean /${nearest}?`
      : '/help lists what there is, and // begins a question with a slash';
  return `there is no /${printable(word, 40)}; ${meant}`;
}

/** What `/help` shows. */
export function helpText(): string {
  const rows = NAMES.map((name): [string, string] => {
    const { takes, isRequired, does }: SlashCommand = SLASH_COMMANDS[name];
    const argument = takes === null ? '' : isRequired === true ? ` ${takes}` : ` [${takes}]`;
    return [`/${name}${argument}`, does];
  });
  const keys: [string, string][] = [
    ['"""', 'begins a question of several lines, and ends it'],
    ['//…', 'a question that begins with a slash'],
    ['Ctrl-C', 'stops the answer; twice: ends'],
  ];
  const all = [...rows, ...keys];
  const width = Math.max(...all.map(([left]) => left.length));
  return all.map(([left, right]) => `${left.padEnd(width)}  ${right}`).join('\n');
}
