/**
 * From a job's command to the arguments that a worker runs, all of them looked at.
 * Why: docs/decisions/jobs.md#a-worker-does-what-expertwire-does-and-nothing-else
 */
import { printable } from '../../../base/foreign_text.js';
import { isRoutingText } from '../../config/routing_text.js';
import { PLACEMENT_STRATEGIES } from '../../../experts/placement/placement.js';
import { JobError } from '../base/errors.js';
import type { ValueKind } from './command_lines.js';
import { argumentsOf, commandWords, type CommandWord } from './command_words.js';
import { inputPath, modelPath, outputPath } from './paths.js';
import type { RealPath, Rights } from './rights.js';
import { settingPaths } from './settings.js';

/** With absolute paths. @throws JobError NOT_ALLOWED; ConfigError for a --set that is none */
export function allowedCommand(args: readonly string[], rights: Rights, realPath: RealPath): readonly string[] {
  const { name, words } = commandWords(args);
  return argumentsOf({
    name,
    words: words.map((word) => ({ ...word, value: allowedValue(name, word, rights, realPath) })),
  });
}

function allowedValue(
  name: string,
  { option, value, kind }: CommandWord,
  rights: Rights,
  realPath: RealPath,
): string | null {
  if (value === null) return null;
  const what = `${name}: ${option ?? 'its argument'}`;
  if (kind !== 'setting') return checkedValue(kind, value, what, rights, realPath);
  const paths = settingPaths(value).filter((path) => path.kind !== 'text');
  if (paths.length === 0) return value;
  if (paths.length > 1 || typeof paths[0]!.value !== 'string') {
    for (const { key, kind: own } of paths)
      if (own === 'code') checkedValue(own, '', `${what} ${key}`, rights, realPath);
    throw new JobError(
      'NOT_ALLOWED',
      `${what} ${printable(value)} names files beside other things; set each key with a --set of its own`,
    );
  }
  const [path] = paths as [(typeof paths)[number]];
  const allowed = checkedValue(path.kind, path.value as string, `${what} ${path.key}`, rights, realPath);
  return `${path.key}=${JSON.stringify(allowed)}`;
}

/** As the command is to get it. @throws JobError NOT_ALLOWED */
export function checkedValue(kind: ValueKind, value: string, what: string, rights: Rights, realPath: RealPath): string {
  switch (kind) {
    case 'flag':
    case 'text':
    case 'field':
    case 'setting':
      return value;
    case 'model':
      return modelPath(what, value, rights, realPath);
    case 'input':
      return inputPath(what, value, rights, realPath);
    case 'output':
      return outputPath(what, value, rights, realPath);
    case 'placement':
      return (PLACEMENT_STRATEGIES as readonly string[]).includes(value)
        ? value
        : inputPath(what, value, rights, realPath);
    case 'routing':
      return isRoutingText(value) ? value : inputPath(what, value, rights, realPath);
    case 'code':
      if (rights.canLoadCode) return value;
      throw new JobError(
        'NOT_ALLOWED',
        `${what} may load code; start the worker with --allow-plugins where all who write jobs may run code there`,
      );
  }
}
