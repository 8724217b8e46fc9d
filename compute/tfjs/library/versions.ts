/** Whether packages that a user installs beside expertwire are those that it was tested with. */

/**
 * Below 1.0 a minor version may change anything and a patch nothing; from there on it must be the very version, since such a package is part of a family.
 * `installed`: a package's version, null without it. Pure.
 *
 * @throws Error in one line, with the command that mends it
 */
export function checkVersions(
  tested: Readonly<Record<string, string>>,
  installed: (name: string) => string | null,
): void {
  const install = installCommand(tested);
  for (const [name, version] of Object.entries(tested)) {
    const found = installed(name);
    if (found === null) throw new Error(`${name} is not installed; ${install}`);
    const isTested = version.startsWith('0.') ? minorOf(found) === minorOf(version) : found === version;
    if (!isTested)
      throw new Error(`${name} ${found} is installed, and expertwire was tested with ${version}; ${install}`);
  }
}

/** What installs them, without making them dependencies of the folder. */
export const installCommand = (packages: Readonly<Record<string, string>>): string =>
  `npm install --no-save ${Object.entries(packages)
    .map(([name, version]) => `${name}@${version}`)
    .join(' ')}`;

const minorOf = (version: string): string => version.split('.').slice(0, 2).join('.');
