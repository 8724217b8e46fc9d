import { expect } from 'chai';
import { JobError } from '../../../../lib/jobs/base/errors.js';
import { allowedCommand } from '../../../../lib/jobs/work/allowed_command.js';
import type { Rights } from '../../../../lib/jobs/work/rights.js';
import { COMMAND_LINES } from '../../../../lib/jobs/work/command_lines.js';
import { errorOf } from '../../../kit/rejects.js';

const RIGHTS: Rights = { folder: '/work/shard', models: ['/models'], canLoadCode: false, servers: [] };
const FILES: Readonly<Record<string, string>> = {
  ...{ '/work/shard': '/work/shard', '/models': '/models', '/models/tiny': '/models/tiny' },
  ...{
    '/work/shard/in.txt': '/work/shard/in.txt',
    '/work/shard/leak': '/etc',
    '/work/shard/leak/passwd': '/etc/passwd',
  },
  ...{ '/models/link': '/home/u', '/etc/passwd': '/etc/passwd', '/work': '/work', '/': '/' },
};
const realPath = (path: string): string | null => FILES[path] ?? null;
const allowed = (args: readonly string[], rights = RIGHTS) => allowedCommand(args, rights, realPath);
const refused = async (args: readonly string[], rights = RIGHTS): Promise<string> => {
  const error = await errorOf(JobError, () => allowed(args, rights));
  expect(error.code).to.equal('NOT_ALLOWED');
  return error.text;
};

describe('commands of jobs', () => {
  it('are given in a way that nobody reads otherwise: a value isn’t an option', () => {
    expect(allowed(['generate', '--prompt', '--plugin=evil.js', '--json', '--seed=7'])).to.deep.equal([
      'generate',
      '--prompt=--plugin=evil.js',
      '--json',
      '--seed=7',
    ]);
  });

  it('whatever isn’t listed is refused: other commands, options, spellings of them', async () => {
    for (const args of [
      ['bash'],
      [],
      ['experiment', 'x.yaml'],
      ['measure', 'x'],
      ['launch'],
      ['rank'],
      ['native', 'install'],
      ['constructor'],
    ])
      expect(await refused(args)).to.match(/is no command that jobs run/);
    for (const option of [
      '--listen=0:1',
      '--secretFile=/etc/passwd',
      '--secret-file=x',
      '-p',
      '--',
      '--no-json',
      '--set.x=1',
      '--toString',
    ])
      expect(await refused(['generate', option]), option).to.match(/is no option that jobs may give/);
    expect(await refused(['generate', 'x'])).to.match(/one argument too many/);
    expect(await refused(['generate', '--prompt'])).to.match(/has no value/);
    expect(await refused(['generate', '--json=yes'])).to.match(/give it alone/);
    expect(await refused(['report'])).to.match(/takes 1/);
  });

  it('what may load code is for workers that allow it', async () => {
    for (const args of [
      ['generate', '--plugin', 'x.mjs'],
      ['generate', '--config=in.txt'],
      ['plan', '--plugin=x.mjs'],
      ['generate', '--set', 'plugins=[x.mjs]'],
      ['generate', '--set', 'engine={kv_tiers: [{disk: {path: /etc}}]}'],
    ]) {
      expect(await refused(args), args.join(' ')).to.match(
        /may load code; start the worker with --allow-plugins|names files/,
      );
    }
    const rights = { ...RIGHTS, canLoadCode: true };
    expect(allowed(['generate', '--plugin', 'x.mjs'], rights)).to.deep.equal(['generate', '--plugin=x.mjs']);
  });

  it('write into the shard’s folder alone', async () => {
    expect(allowed(['plan', '--load', 'in.txt', '--output', 'out/p.json'])).to.deep.equal([
      'plan',
      '--load=/work/shard/in.txt',
      '--output=/work/shard/out/p.json',
    ]);
    for (const path of ['/etc/cron.d/x', '../x', 'a/../../x', '/models/tiny/x', 'leak/x', '/work/shard2/x'])
      expect(await refused(['plan', '--output', path]), path).to.match(/outside of the shard's folder/);
    expect(await refused(['make-checkpoint', '/models/new'])).to.match(/outside/);
  });

  it('read from the shard’s folder and the worker’s models alone, whatever links say', async () => {
    for (const path of ['/etc/passwd', '../../etc/passwd', 'leak/passwd', 'none.txt', '-'])
      expect(await refused(['score', '--file', path]), path).to.match(/neither in the shard's folder nor in \/models/);
    for (const model of ['/home/u', 'link', '../etc', 'nope', '/home/other/models/tiny']) {
      expect(await refused(['generate', '--model', model]), model).to.match(/no model in \/models/);
      expect(await refused(['generate', '--set', `model=${model}`]), model).to.match(/no model in \/models/);
    }
  });

  it('models are known by their names on every machine', () => {
    for (const model of ['tiny', 'models/tiny', '/models/tiny'])
      expect(allowed(['inspect', model]), model).to.deep.equal(['inspect', '/models/tiny']);
    expect(allowed(['generate', '--model', 'org/name'])).to.deep.equal(['generate', '--model=org/name']);
    expect(allowed(['generate', '--set', 'model=tiny'])).to.deep.equal(['generate', '--set=model="/models/tiny"']);
  });

  it('settings of the engine pass, those of servers’ places and buses don’t', async () => {
    const args = [
      'generate',
      '--set=engine.mla=naive',
      '--set=comm={reduce: source}',
      '--set=experts.routing=zipf:1.0',
    ];
    expect(allowed(args)).to.deep.equal([...args.slice(0, 3), '--set=experts.routing="zipf:1.0"']);
    expect(await refused(['generate', '--set', 'cluster.enabled=true'])).to.match(/don't set "cluster.enabled"/);
    expect(await refused(['generate', '--set', 'instances=[{}]'])).to.match(/don't set "instances"/);
    expect(await refused(['generate', '--set', 'comm.tls.key=/etc/key'])).to.match(/may load code/);
    expect(await refused(['generate', '--set', 'experts={placement: /etc/passwd}'])).to.match(/neither/);
    expect(await refused(['generate', '--set', 'experts={placement: in.txt, routing: in.txt}'])).to.match(
      /a --set of its own/,
    );
  });

  it('what they may be given exists: options that a command has no more are no one’s', async () => {
    const { COMMANDS } = await import('../../../../lib/commands/commands.js');
    const { default: yargs } = await import('yargs');
    for (const [name, { options }] of Object.entries(COMMAND_LINES)) {
      const command = COMMANDS.find((each) => each.name.split(' ')[0] === name)!;
      const cli = (await command.load()).options(yargs([]));
      const known = Object.keys((cli as unknown as { getOptions: () => { key: object } }).getOptions().key);
      expect(known, name).to.include.members(Object.keys(options));
    }
  });
});
