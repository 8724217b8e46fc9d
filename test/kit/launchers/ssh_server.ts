/** A real sshd on a free port of this machine, with keys of its own, and how ssh reaches it. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmod, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../processes/ports.js';
import { until } from '../processes/processes.js';

const run = promisify(execFile);
/** Where it usually is: outside the PATH of who isn't root. */
const SSHD = '/usr/sbin/sshd';

/** Why there can be no sshd here; null: there can. */
export async function whyNoSsh(): Promise<string | null> {
  for (const [program, args] of [
    [SSHD, ['-V']],
    ['ssh', ['-V']],
  ] as const) {
    const failed = await run(program, args).then(
      () => null,
      (error: unknown) => (error as NodeJS.ErrnoException).code,
    );
    if (failed === 'ENOENT') return `${program} is not installed: apt-get install openssh-server`;
  }
  return process.getuid?.() === 0 ? null : 'sshd needs root here';
}

/** One server; sessions of it end with {@link stop}, too. */
export class SshServer {
  private constructor(
    private readonly dir: string,
    private readonly child: ChildProcess,
    readonly port: number,
    /** The ssh that it lets in, and one whose key it doesn't know. */
    readonly ssh: string,
    readonly stranger: string,
  ) {}

  /**
   * @param address where it listens: one of this machine that isn't its own name
   * @param on words before its line: another machine
   * @param other one that lets the same keys in at the same port
   */
  static async start(address: string, on: readonly string[] = [], other?: SshServer): Promise<SshServer> {
    const dir = await mkdtemp(join(tmpdir(), 'expertwire-sshd-'));
    await chmod(dir, 0o700);
    for (const name of ['host', 'user', 'other']) {
      await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, name)]);
    }
    await copyFile(join(dir, 'user.pub'), join(dir, 'authorized'));
    if (other !== undefined) await copyFile(join(other.dir, 'user.pub'), join(dir, 'authorized'));
    const port = other?.port ?? (await freePort());
    const config = [
      `Port ${port}`,
      `ListenAddress ${address}`,
      `HostKey ${join(dir, 'host')}`,
      `AuthorizedKeysFile ${join(dir, 'authorized')}`,
      `PidFile ${join(dir, 'pid')}`,
      ...['StrictModes no', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no', 'UsePAM no'],
      'PermitRootLogin prohibit-password',
    ];
    await writeFile(join(dir, 'config'), `${config.join('\n')}\n`);
    await run('mkdir', ['-p', '/run/sshd']);
    const [program, ...words] = [...on, SSHD, '-D', '-e', '-f', join(dir, 'config')];
    const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
    await until(
      () => log.includes('Server listening') || child.exitCode !== null,
      () => `sshd does not listen: ${log}`,
    );
    const sshOf = (key: string): string =>
      [
        `ssh -p ${port} -i ${join(dir, key)} -F none -o BatchMode=yes -o IdentitiesOnly=yes -o LogLevel=ERROR`,
        `-o StrictHostKeyChecking=no -o UserKnownHostsFile=${join(dir, 'known')}`,
      ].join(' ');
    return new SshServer(dir, child, port, sshOf('user'), sshOf('other'));
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null) {
      const ended = once(this.child, 'exit');
      this.child.kill('SIGTERM');
      await ended;
    }
    await rm(this.dir, { recursive: true, force: true });
  }
}
