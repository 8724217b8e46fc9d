/** Patterns of modules in quantization_config: names, their beginnings or ends, with `*`, or `re:` and a simple regular expression. Pure. */

/** Whether a module's name is one of them. What isn't simple matches nothing: a stranger's expression may take for ever. */
export function moduleMatcher(patterns: readonly string[]): (module: string) => boolean {
  const all = patterns.slice(0, MAX_PATTERNS).flatMap((pattern) => {
    const expression = pattern.startsWith('re:') ? simple(pattern.slice('re:'.length)) : globbed(pattern);
    return expression === null ? [] : [expression];
  });
  return (module) => all.some((expression) => expression.test(module));
}

const MAX_PATTERNS = 4096;

/** A module, what lies in it, and what ends like it. */
const globbed = (pattern: string): RegExp => {
  const escaped = pattern.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
  return new RegExp(`^(.*\\.)?${escaped}(\\..*)?$`);
};

/** Letters, dots, `.*`, and alternatives in brackets that aren't repeated. */
function simple(source: string): RegExp | null {
  const isSimple = source.length <= 256 && /^\^?(?:[\w-]|\\[.\-d]|\.\*|\.|[()|])*\$?$/.test(source);
  if (!isSimple) return null;
  try {
    return new RegExp(`^(?:${source})`); // as Python's re.match
  } catch {
    return null; // its brackets don't match
  }
}
