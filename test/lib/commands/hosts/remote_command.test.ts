import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { remoteCommand } from '../../../../lib/commands/hosts/remote_command.js';

const RANKS = {
  folder: '/opt/expertwire',
  hasLaunchScript: true,
  head: '[fd00::1]:4000',
  first: 2,
  numRanks: 3,
  options: [],
};

describe('what a host is told to run', () => {
  it('is launch.sh with ranks, whose secret is no argument', () => {
    expect(remoteCommand(RANKS)).to.equal(
      "exec /opt/expertwire/launch.sh -- rank --head '[fd00::1]:4000' --rank 2 --nproc 3 --secret-file -",
    );
  });

  it('is the program of an installed package', () => {
    expect(remoteCommand({ ...RANKS, hasLaunchScript: false })).to.match(
      /^exec node --no-warnings \/opt\/expertwire\/dist\/lib\/cli\.js rank /,
    );
  });

  it('reaches the program word for word through a shell', () => {
    const options = ['--model', `it's a "model" $HOME \`id\` ; *`, '--plugin', ''];
    const line = remoteCommand({ ...RANKS, options }).replace(/^exec \S+/, `printf '%s\\0'`);
    const words = execFileSync('sh', ['-c', line], { encoding: 'utf8' }).split('\0');
    expect(words.slice(-5, -1)).to.deep.equal(options);
  });
});
