/** Which Node would compute with wider SIMD than the one that runs, and how to run expertwire with it. Pure. */
import { fileURLToPath } from 'node:url';

/** A Node, as it tells of itself. */
export interface NodeKind {
  /** 'v20.19.0' */
  readonly version: string;
  readonly arch: string;
  /** Path of the command line. */
  readonly cli: string;
}

/** The one that is running. */
export const thisNode = (): NodeKind => ({
  version: process.version,
  arch: process.arch,
  cli: fileURLToPath(new URL('../cli.js', import.meta.url)),
});

/** From this one on, V8 has 256-bit SIMD for WebAssembly, on x64. */
const WIDE_SINCE = 24;
const NEWER = 26;

/** The command that runs it, without arguments; null where no newer Node has more. An installed package has its name as a command, a checkout hasn't. */
export function newerNode({ version, arch, cli }: NodeKind): string | null {
  const major = Number(/^v?(\d+)/.exec(version)?.[1]);
  if (arch !== 'x64' || major >= WIDE_SINCE) return null;
  return `npx -p node@${NEWER} ${/[/\\]node_modules[/\\]/.test(cli) ? 'expertwire' : `node ${cli}`}`;
}

/** What it gives: a line without its end. */
export const widerText = (command: string): string =>
  `256-bit SIMD, prefill up to twice as fast, with a newer Node: ${command} …`;
