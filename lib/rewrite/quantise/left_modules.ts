/** How a configuration names the modules that stay as they are. Pure. */
import { moduleMatcher } from '../../model/stored/module_patterns.js';

/**
 * Names, or for those that differ in numbers alone one expression, where it matches no other module: checkpoints have thousands of layers' modules, and readers look at every pattern for each.
 *
 * @param left modules that stay
 * @param targets those that don't
 */
export function leftPatterns(left: readonly string[], targets: readonly string[]): string[] {
  const byPattern = new Map<string, string[]>();
  for (const module of left) {
    const pattern = patternOf(module);
    byPattern.set(pattern, [...(byPattern.get(pattern) ?? []), module]);
  }
  return [...byPattern].flatMap(([pattern, modules]) => {
    if (modules.length === 1) return modules;
    return targets.some(moduleMatcher([pattern])) ? modules : [pattern];
  });
}

const patternOf = (module: string): string =>
  `re:^${module.replaceAll('.', '\\.').replaceAll(/\\\.\d+(?=\\\.|$)/g, '\\..*')}$`;
