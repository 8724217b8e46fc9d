import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import { causeText } from '../../base/foreign_text.js';
import { ConfigError } from './errors.js';
import type { Layer, Origin } from './layers.js';

/**
 * The layer of a configuration file.
 *
 * @param text YAML 1.2, one document
 * @param file path, for messages
 * @throws ConfigError INVALID_YAML, with the line; a key that occurs twice is one of its reasons
 */
export function yamlFileLayer(text: string, file: string): Layer {
  const lines = new LineCounter();
  const values = parseYaml(text, lines, (line) => ({ where: `${file}:${line}`, file, line }));
  return {
    values: values.plain,
    originOf: (path) => {
      const line = lineOf(values.document, path, lines);
      return { where: `${file}:${line}`, file, line };
    },
  };
}

/**
 * The layer of one `--set a.b=value`, whose value is written in YAML.
 *
 * @throws ConfigError INVALID_VALUE without `=`, INVALID_YAML
 */
export function overrideLayer(override: string): Layer {
  const origin: Origin = { where: `--set ${override}` };
  const equals = override.indexOf('=');
  if (equals < 1) {
    throw new ConfigError(
      'INVALID_VALUE',
      `${origin.where}: there is no key before "="; write --set comm.reduce=source`,
    );
  }
  const path = override.slice(0, equals).trim().split('.');
  const { plain } = parseYaml(override.slice(equals + 1), new LineCounter(), () => origin);
  return {
    values: path.reduceRight<unknown>((value, name) => Object.fromEntries([[name, value]]), plain),
    originOf: () => origin,
  };
}

interface Parsed {
  readonly document: Document;
  readonly plain: unknown;
}

function parseYaml(text: string, lineCounter: LineCounter, originAt: (line: number) => Origin): Parsed {
  const document = parseDocument(text, { version: '1.2', lineCounter, prettyErrors: false });
  // Warnings are about tags that nobody resolves: the value would not be what the author meant.
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw invalidYaml(problem, originAt(lineCounter.linePos(problem.pos[0]).line));
  try {
    return { document, plain: document.toJS() as unknown };
  } catch (cause) {
    // Aliases are resolved only now; the package limits how much they may expand to.
    throw invalidYaml(cause, originAt(1));
  }
}

function invalidYaml(cause: unknown, { where, file, line }: Origin): ConfigError {
  return new ConfigError('INVALID_YAML', `${where}: ${causeText(cause)}; correct the YAML`, { file, line, cause });
}

/** The line of a key, or of the nearest thing around it that has one. */
function lineOf(document: Document, path: readonly PropertyKey[], lines: LineCounter): number {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const start = keyOffset(parent, path[length - 1]!) ?? offsetOf(document.getIn(path.slice(0, length), true));
    if (start !== undefined) return lines.linePos(start).line;
  }
  return 1;
}

/** Where the key itself begins: its value may stand on a later line. */
function keyOffset(parent: unknown, name: PropertyKey): number | undefined {
  if (!isMap(parent)) return undefined;
  const pair = parent.items.find((item) => isScalar(item.key) && String(item.key.value) === String(name));
  return isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
}

function offsetOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}
