/** Jobs of launch.sh: where they run, and how a good one ends. */
import { expect } from 'chai';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { moe7mCases } from '../model/goldens.js';
import { createLaunchFolder } from './launch_folder.js';
import { moe7m } from '../paths.js';
import { Processes, type Ended, type Running, withoutNews } from './processes.js';

const [GOLDEN] = moe7mCases();

/** launch.sh in a folder of its own, and what it starts. */
export class LaunchSite {
  readonly processes = new Processes();
  /** Empty until it is created. */
  dir = '';
  script = '';

  /** What a job prints that ran {@link COMMAND}. */
  readonly goldenOutput = `${GOLDEN!.text}\n`;

  readonly create = async (): Promise<void> => {
    this.dir = await mkdtemp(join(tmpdir(), 'expertwire-launch-'));
    this.script = await createLaunchFolder(this.dir);
  };

  readonly remove = (): Promise<void> => rm(this.dir, { recursive: true, force: true });

  /** Runs launch.sh from another folder. */
  start(args: readonly string[], env: Record<string, string> = {}): Running {
    return this.processes.start(this.script, args, { env: { ...SECRET, ...env }, cwd: tmpdir() });
  }
}

/** The secret that ranks of several machines share. */
export const SECRET = { EXPERTWIRE_JOB_SECRET: 'a secret of this test' };
/** A command that prints the golden text. */
export const COMMAND = [
  '--',
  'generate',
  '--model',
  moe7m(),
  '--prompt',
  GOLDEN!.prompt,
  '--max-new-tokens',
  '32',
  '--ignore-eos',
];
/** One that runs until something ends it. */
export const LONG = [...COMMAND.slice(0, -2), '480', '--ignore-eos', '--set', 'comm.on_peer_loss=fail'];
/** Three times what is promised, for a loaded machine. */
export const END_MS = 3 * 2000;

/** Without what launchers say when all is well. */
export const withoutLaunchers = (stderr: string): string => withoutNews(stderr).replace(/^srun: job .*\n/gm, '');

/** The golden text, and nothing else. */
export function expectGolden({ code, stdout, stderr }: Ended): void {
  expect(withoutNews(stderr)).to.equal('');
  expect(code).to.equal(0);
  expect(stdout).to.equal(`${GOLDEN!.text}\n`);
}

/** Ended well without a word. */
export function expectQuietSuccess({ code, stdout, stderr }: Ended): void {
  expect(withoutNews(stderr)).to.equal('');
  expect(code).to.equal(0);
  expect(stdout).to.equal('');
}
