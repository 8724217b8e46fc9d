/** Help of one command or benchmark as text: what stands above its options, and below them. Pure. */
import type { CommandHelp, Example } from './command_help.js';
import { wrapped } from './layout.js';

/** @param line how it is called: 'expertwire kv <action>'; `describe`: what it does, in a sentence or two */
export function aboveOptions(line: string, describe: string, when: string | undefined, width: number): string {
  const paragraphs = [describe, ...(when === undefined ? [] : [when])];
  return [`${line} [options]`, ...paragraphs.map((text) => wrapped(text, width).join('\n'))].join('\n\n');
}

/** Examples, each below what it does, in one line however long it is: it is to be copied. */
export function belowOptions(
  { examples, see = [] }: Partial<Pick<CommandHelp, 'examples' | 'see'>>,
  width: number,
): string {
  const sections = [
    ...(examples === undefined || examples.length === 0 ? [] : [`Examples:\n${examples.map(exampleText).join('\n')}`]),
    ...(see.length === 0 ? [] : [wrapped(`More: ${see.join(', ')}`, width).join('\n')]),
  ];
  return sections.join('\n\n');
}

const exampleText = ({ says, line }: Example): string => `  ${says}:\n    ${line}`;
