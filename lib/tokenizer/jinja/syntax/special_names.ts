/** What a macro takes besides its parameters is told by its body. */
const SPECIAL_NAMES: readonly unknown[] = ['varargs', 'kwargs', 'caller'];

/** Which of `varargs`, `kwargs` and `caller` stand anywhere in a part of a template. Bodies of macros in it, which know theirs, aren't gone through again. */
export function specialNamesOf(node: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (Array.isArray(node)) for (const each of node) specialNamesOf(each, found);
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return found;
  const { kind, name, specialNames, body, ...parts } = node as Readonly<Record<string, unknown>>;
  if (kind === 'name' && SPECIAL_NAMES.includes(name)) found.add(name as string);
  if (specialNames instanceof Set) for (const each of specialNames) found.add(each as string);
  else specialNamesOf(body, found);
  specialNamesOf(Object.values(parts), found);
  return found;
}
