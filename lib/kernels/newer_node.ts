/** Which Node would compute with wider SIMD than the one that runs, and how to run expertwire with it. */
import { fileURLToPath } from 'node:url';
import { cpuFlags } from './cpu_flags.js';

/** A Node, as it tells of itself. */
export interface NodeKind {
  /** 'v20.19.0' */
  readonly version: string;
  readonly arch: string;
  /** Path of the command line. */
  readonly cli: string;
  /** Default: yes, or unknown. */
  readonly hasAvx2?: boolean;
}

/** The one that is running. */
export const thisNode = (): NodeKind => ({
  version: process.version,
  arch: process.arch,
  cli: fileURLToPath(new URL('../cli.js', import.meta.url)),
  hasAvx2: cpuFlags()?.includes('avx2') ?? true,
});

/** From this one on, V8 has 256-bit SIMD for WebAssembly, on x64. */
const WIDE_SINCE = 24;
const NEWER = 26;

/** Whether a Node of this version, 'v20.19.0', may have 256-bit SIMD. */
export const mayBeWide = (version: string): boolean => Number(/^v?(\d+)/.exec(version)?.[1]) >= WIDE_SINCE;

/**
 * The command that runs it, without arguments; null where no newer Node has more. An installed package has its name as a command; a checkout hasn't, nor has what npx keeps for a run of
 * its own.
 */
export function newerNode({ version, arch, cli, hasAvx2 = true }: NodeKind): string | null {
  if (arch !== 'x64' || !hasAvx2 || mayBeWide(version)) return null;
  const isCommand = /[/\\]node_modules[/\\]/.test(cli) && !/[/\\]_npx[/\\]/.test(cli);
  return `npx -p node@${NEWER} ${isCommand ? 'expertwire' : `node ${quoted(cli)}`}`;
}

/** As a shell takes it for one word. */
function quoted(path: string): string {
  if (/^[\w@%+=:,./-]+$/.test(path)) return path;
  return /^[A-Za-z]:\\/.test(path) ? `"${path}"` : `'${path.replaceAll("'", "'\\''")}'`;
}

/** What it gives: a line without its end. */
export const widerText = (command: string): string =>
  `256-bit SIMD, prefill up to twice as fast, with a newer Node: ${command} …`;
