/** Which Node would compute with wider SIMD than the one that runs. Pure. */

/** A Node, as it tells of itself. */
export interface NodeKind {
  /** 'v20.19.0' */
  readonly version: string;
  readonly arch: string;
}

/** The one that is running. */
export const thisNode = (): NodeKind => ({ version: process.version, arch: process.arch });

/** From this one on, V8 has 256-bit SIMD for WebAssembly, on x64. */
const WIDE_SINCE = 24;
const NEWER = 26;

/** The command that has it; null where no newer Node has more. */
export function newerNode({ version, arch }: NodeKind): string | null {
  const major = Number(/^v?(\d+)/.exec(version)?.[1]);
  return arch === 'x64' && major < WIDE_SINCE ? `npx -p node@${NEWER} expertwire` : null;
}

/** What it gives: a line without its end. */
export const widerText = (command: string): string =>
  `256-bit SIMD, prefill up to twice as fast, with a newer Node: ${command} …`;
