import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { manifest } from '../../../../lib/commands/manifest/manifest.js';
import {
  checkedManifest,
  MANIFEST_KINDS,
  type ManifestArgs,
} from '../../../../lib/commands/manifest/manifest_options.js';
import { parseLine } from '../../../../lib/commands/command_line.js';
import { allCommands, runCommand } from '../../../../lib/commands/parser.js';
import { mistakesIn } from '../../../kit/kubernetes/schemas.js';
import { repoRoot } from '../../../kit/paths.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { shellWords } from '../../../kit/processes/shell_words.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { writeFile } from 'node:fs/promises';
import { launchPlan } from '../../../../lib/commands/launch.js';
import { UsageError } from '../../../../lib/commands/base/context.js';

const FOLDER = join(repoRoot(), 'configs/kubernetes');
const SHIPPED = readdirSync(FOLDER);

interface Pod {
  readonly terminationGracePeriodSeconds: number;
  readonly nodeSelector?: object;
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly env: readonly { readonly name: string; readonly value?: string }[];
    readonly resources?: object;
    readonly volumeMounts: readonly object[];
  }[];
}
interface Template {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: Pod;
}
interface Made {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly template: Template;
    readonly leaderWorkerTemplate: { readonly leaderTemplate: Template; readonly workerTemplate: Template };
    readonly selector?: Readonly<Record<string, string>>;
  };
}

const objectsOf = (yaml: string): readonly Made[] =>
  parseAllDocuments(yaml).map((document) => {
    expect(document.errors).to.deep.equal([]);
    return document.toJS() as Made;
  });

async function printed(args: Partial<ManifestArgs> & Pick<ManifestArgs, 'kind'>): Promise<readonly Made[]> {
  const context = commandContext();
  await manifest(args, context);
  const objects = objectsOf(context.printed());
  expect(objects.flatMap((each) => mistakesIn(each))).to.deep.equal([]);
  return objects;
}

const INSTANCE = 'app.kubernetes.io/instance';
const ofController = (name: string): string => name.replace('LeaderWorkerSet ', 'Service ');

const refusal = (args: Partial<ManifestArgs> & Pick<ManifestArgs, 'kind'>): string => {
  try {
    checkedManifest(args);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return expect.fail('it was taken');
};

describe('manifests of Kubernetes', () => {
  for (const name of SHIPPED) {
    it(`configs/kubernetes/${name} is what its first line makes, and Kubernetes’ schemas have all of it`, async () => {
      const text = readFileSync(join(FOLDER, name), 'utf8');
      const [, line] = /^# Made by: (.*)\n/.exec(text)!;
      const context = commandContext();
      await runCommand(shellWords(line!).slice(1), context);
      expect(context.printed()).to.equal(text);
      for (const object of objectsOf(text)) expect(mistakesIn(object), object.kind).to.deep.equal([]);
    });
  }

  it('what pods run is what the program takes', async () => {
    const ran: string[] = [];
    const inner: (readonly string[])[] = [];
    const idle = allCommands(commandContext()).map((command) => ({
      ...command,
      load: async () => ({
        options: (await command.load()).options,
        run: (args: { readonly '--'?: readonly string[] }) => {
          ran.push(command.name.split(' ', 1)[0]!);
          if (args['--'] !== undefined) inner.push(args['--']);
          return Promise.resolve();
        },
      }),
    }));
    for (const name of SHIPPED) {
      const [{ spec }] = objectsOf(readFileSync(join(FOLDER, name), 'utf8')).slice(-1) as [Made];
      const template = name === 'leader_worker_set.yaml' ? spec.leaderWorkerTemplate.leaderTemplate : spec.template;
      await parseLine(template.spec.containers[0]!.args, idle, commandContext());
      for (const words of inner.splice(0)) await parseLine(words, idle, commandContext());
    }
    expect(SHIPPED).to.deep.equal(['job.yaml', 'leader_worker_set.yaml', 'serve.yaml', 'workers.yaml']);
    expect(ran).to.deep.equal(['launch', 'generate', 'launch', 'serve', 'serve', 'worker']);
  });

  it('a schema refuses what Kubernetes doesn’t know', () => {
    const job = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'a' }, spec: { template: {}, retries: 3 } };
    expect(mistakesIn(job).join()).to.match(/spec.*retries/);
    expect(mistakesIn({ ...job, spec: {} }).join()).to.match(/template/);
    expect(mistakesIn({ ...job, spec: { template: { spec: { containers: [{ nam: 'x' }] } } } }).join()).to.match(
      /name/,
    );
  });

  it('pods of a job are told what launch asks for: the first becomes the head, the others ranks', async () => {
    const objects = await printed({ kind: 'job', name: 'moe', ranks: 3, '--': ['generate', '--prompt', 'a'] });
    const job = objects.find(({ kind }) => kind === 'Job')!;
    const [container] = job.spec.template.spec.containers;
    const env = Object.fromEntries(container!.env.map(({ name, value }) => [name, value]));
    expect(container!.args).to.deep.equal(['launch', '--', 'generate', '--prompt', 'a']);
    const at = (index: string): string =>
      launchPlan({ command: ['generate'] }, { ...env, JOB_COMPLETION_INDEX: index, POD_IP: '10.0.0.9' }).join(' ');
    expect(at('0')).to.equal('generate --listen 10.0.0.9:7077 --ranks 1 --wait-ranks 2');
    expect(at('2')).to.equal('rank --head moe-0.moe:7077 --rank 2');
    expect(objects.map(({ kind, metadata }) => [kind, metadata.name])).to.deep.equal([
      ['Service', 'moe'],
      ['Job', 'moe'],
    ]);
  });

  it('kinds that are applied one after the other leave each other alone', async () => {
    const kinds = await Promise.all(
      MANIFEST_KINDS.map((kind) => printed({ kind, ...(kind === 'workers' && { bus: 'nats://nats:4222' }) })),
    );
    const names = kinds.flat().map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    // The controller of LeaderWorkerSet makes a Service of the set's name.
    const all = [...names, ...names.filter((name) => name.startsWith('LeaderWorkerSet ')).map(ofController)];
    expect(new Set(all).size, all.join()).to.equal(all.length);
    const instances = kinds.flatMap((objects) =>
      objects.flatMap(({ kind, spec }) => (kind === 'Service' ? [spec.selector![INSTANCE]!] : [])),
    );
    expect(instances).to.have.length(3);
    expect(new Set(instances).size, instances.join()).to.equal(3);
    const pods = kinds.map((objects) => {
      const { kind, spec } = objects.at(-1)!;
      const { metadata } = kind === 'LeaderWorkerSet' ? spec.leaderWorkerTemplate.leaderTemplate : spec.template;
      return metadata.labels[INSTANCE];
    });
    expect(new Set(pods).size, pods.join()).to.equal(4);
  });

  it('a configuration goes along', () =>
    withTempFolder(async (dir) => {
      const config = join(dir, 'a.yaml');
      await writeFile(config, 'model: /models/a\n');
      for (const kind of ['job', 'leader-worker-set', 'serve'] as const) {
        const [first, ...rest] = await printed({ kind, config });
        expect(first!.data).to.deep.equal({ 'config.yaml': 'model: /models/a\n' });
        expect(JSON.stringify(rest)).to.contain('"/etc/expertwire/config.yaml"').and.contain(first!.metadata.name);
      }
    }));

  it('cores, memory, models, labels and Secrets reach every pod, and a rank knows its cores', async () => {
    const common = {
      ...{ namespace: 'ai', cpus: 2.5, memory: '4Gi', claim: 'models', nodeSelector: ['disk=ssd'] },
      ...{ pullSecret: 'registry', envSecret: ['nats'], serviceAccount: 'runner' },
    };
    const objects = await printed({ kind: 'leader-worker-set', ...common, '--': ['serve', '--model', '/models/a'] });
    const { leaderTemplate, workerTemplate } = objects.at(-1)!.spec.leaderWorkerTemplate;
    for (const { spec } of [leaderTemplate, workerTemplate]) {
      const [container] = spec.containers;
      expect(spec.nodeSelector).to.deep.equal({ disk: 'ssd' });
      expect(container!.resources).to.deep.equal({
        requests: { cpu: '2.5', memory: '4Gi' },
        limits: { cpu: '2.5', memory: '4Gi' },
      });
      expect(container!.args.join(' ')).to.contain('launch -- serve --model /models/a');
      expect(container!.args.join(' ')).to.contain('--set parallel.threads=2');
      expect(JSON.stringify(container!.volumeMounts)).to.contain('/models');
    }
    for (const { metadata } of objects) expect(metadata.namespace).to.equal('ai');
    const told = await printed({ kind: 'serve', cpus: 4, '--': ['serve', '--set', 'parallel.threads=3'] });
    expect(JSON.stringify(told)).not.to.contain('parallel.threads=4');
  });

  it('leaders alone are served, and have longer to end than the server takes', async () => {
    const [service, set] = await printed({ kind: 'leader-worker-set' });
    expect(service!.spec.selector).to.include({ 'leaderworkerset.sigs.k8s.io/worker-index': '0' });
    const { leaderTemplate, workerTemplate } = set!.spec.leaderWorkerTemplate;
    expect(leaderTemplate.spec.terminationGracePeriodSeconds).to.be.above(60);
    expect(JSON.stringify(workerTemplate)).not.to.contain('Probe');
  });

  it('words that Kubernetes would replace stay as they are', async () => {
    const [, job] = await printed({ kind: 'job', '--': ['generate', '--prompt', 'costs $(HOME) $$(x)'] });
    expect(job!.spec.template.spec.containers[0]!.args.at(-1)).to.equal('costs $$(HOME) $$$(x)');
  });

  it('words that look like numbers stay as they are', async () => {
    const context = commandContext();
    await runCommand(['manifest', 'job', '--', 'generate', '--prompt', '007', '--seed', '1e3'], context);
    const [, job] = objectsOf(context.printed());
    expect(job!.spec.template.spec.containers[0]!.args.slice(3)).to.deep.equal(['--prompt', '007', '--seed', '1e3']);
  });

  for (const [what, args, pattern] of [
    ['an option of another kind', { kind: 'job', replicas: 2 }, /--replicas is for .*; leave it out for job/],
    ['workers without a bus', { kind: 'workers' }, /need --bus/],
    ['a bus that is none', { kind: 'workers', bus: 'nats' }, /--bus is "nats"; give nats:\/\/HOST:PORT/],
    [
      'a bus with a password, which is not told',
      { kind: 'workers', bus: 'nats://user:sesame@nats:4222' },
      /--bus is "nats:\/\/…@nats:4222"; .*NATS_PASSWORD/,
    ],
    [
      'a password behind --, which is not told',
      { kind: 'serve', '--': ['serve', '--set', 'cluster.bus=nats://user:sesame@nats:4222'] },
      /^"cluster.bus=nats:\/\/…@nats:4222" behind -- has a user/,
    ],
    ['a name that is no host', { kind: 'job', name: 'My_Job' }, /--name is 'My_Job'; give/],
    ['a name that is too long', { kind: 'job', name: 'a'.repeat(41) }, /at most 40/],
    ['no cores', { kind: 'job', cpus: 0 }, /--cpus is 0; give/],
    ['odd memory', { kind: 'job', memory: '8GB' }, /--memory is '8GB'; give/],
    ['a job of one pod', { kind: 'job', ranks: 1 }, /--ranks is not a whole number from 2/],
    ['a label without a value', { kind: 'job', nodeSelector: ['disk'] }, /KEY=VALUE/],
    ['another command', { kind: 'serve', '--': ['chat'] }, /run serve, and -- chat follows; give -- serve/],
  ] as const) {
    it(`${what}: is refused`, () => expect(refusal(args)).to.match(pattern));
  }
});
