import type { Processes, Running } from './processes.js';

/** Of jobs whose ranks join from elsewhere. */
export const SECRET = 'a secret of this test';

/** One that starts slowly may find its job over, because another one was refused: it looks for the head no longer than a test may. */
const LOOKING = ['--join-timeout', '30'];

/** Ranks of these numbers, which join the head at a port of this machine. */
export const ranksFrom = (
  processes: Processes,
  port: number,
  ranks: readonly number[],
  more: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Running[] =>
  ranks.map((rank) =>
    processes.cli(['rank', '--head', `127.0.0.1:${port}`, '--rank', `${rank}`, ...LOOKING, ...more], {
      env: { EXPERTWIRE_JOB_SECRET: SECRET, ...env },
    }),
  );
