/** What ssh is told to run on a host. Pure. */

/** Ranks of one host. */
export interface RemoteRanks {
  /** The package's folder there. */
  readonly folder: string;
  /** It has launch.sh, as a clone does; an installed package has the program alone. */
  readonly hasLaunchScript: boolean;
  /** HOST:PORT. */
  readonly head: string;
  /** Number of its first rank. */
  readonly first: number;
  readonly numRanks: number;
  /** Further options of `expertwire rank`. */
  readonly options: readonly string[];
}

/** One line for the shell of the host: ranks that get the job secret from standard input, and end with it. */
export function remoteCommand({ folder, hasLaunchScript, head, first, numRanks, options }: RemoteRanks): string {
  const program = hasLaunchScript
    ? [`${folder}/launch.sh`, '--']
    : ['node', '--no-warnings', `${folder}/dist/lib/cli.js`];
  const ranks = ['rank', '--head', head, '--rank', String(first), '--nproc', String(numRanks), '--secret-file', '-'];
  return `exec ${[...program, ...ranks, ...options].map(quoted).join(' ')}`;
}

/** Plain words stay as they are, for whoever reads them in a list of processes. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
