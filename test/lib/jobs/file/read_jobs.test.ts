import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { ConfigError } from '../../../../lib/config/errors.js';
import { readPlan } from '../../../../lib/jobs/base/plan_blob.js';
import { readJobs, type ReadJob } from '../../../../lib/jobs/file/read_jobs.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const SWEEP = `
measure: simulation
workload: { load: drift, layers: 2, experts: 16, windows: 4 }
sweep: { grid: { parallel.ranks: [2, 4] } }
seeds: [1, 2]
`;

const read = (text: string, files: Readonly<Record<string, string>> = {}): Promise<readonly ReadJob[]> =>
  withTempFolder(async (folder) => {
    for (const [name, content] of Object.entries({ 'jobs.yaml': text, ...files }))
      await writeFile(join(folder, name), content);
    const jobs = await readJobs('jobs.yaml', { cwd: folder, env: {} });
    // Contents are read while the folder is there.
    const reading = jobs.map(async ({ job, blobs }) => {
      const read = blobs.map(async ({ name, content }) => {
        const bytes = await buffer(content());
        return { name, content: () => Readable.from([bytes]) };
      });
      return { job, blobs: await Promise.all(read) };
    });
    return Promise.all(reading);
  });

const readOne = async (text: string, files?: Readonly<Record<string, string>>) => (await read(text, files))[0]!.job;

/** 'line: text' of what is wrong. */
const wrong = async (text: string, files?: Readonly<Record<string, string>>): Promise<string> => {
  const { line, reason, advice } = await errorOf(ConfigError, () => read(text, files));
  return `${line}: ${reason.replace(/^jobs\.yaml:\d+: /, '')}; ${advice}`;
};

describe('a file of jobs', () => {
  it('is a job with defaults', async () => {
    expect(await readOne('name: look\nnodes: { main: { command: [doctor] } }')).to.deep.equal({
      ...{ name: 'look', description: '', triggers: [], blocking: 'serial', misfire: 'once', maxQueued: 16 },
      ...{ timeoutMs: null, keepRuns: 20 },
      nodes: [
        {
          ...{
            name: 'main',
            needs: [],
            work: { kind: 'command', args: ['doctor'] },
            shards: { kind: 'count', count: 1 },
          },
          ...{ route: 'any', retries: { count: 2, backoffMs: 1000, maxBackoffMs: 60_000 }, timeoutMs: 3_600_000 },
        },
      ],
    });
  });

  it('may hold several, with triggers of all kinds', async () => {
    const jobs = await read(`jobs:
  - { name: a, triggers: [{ cron: '30 2 * * MON-FRI', timezone: Europe/Berlin }, { every_s: 2 }], nodes: { m: { command: [doctor] } } }
  - { name: b, triggers: [{ after: a }, { after: c, on: end }], nodes: { m: { rebalance: { url: 'http://127.0.0.1:8000' } } } }`);
    expect(jobs.map(({ job }) => job.triggers)).to.deep.equal([
      [
        { kind: 'cron', cron: '0 30 2 * * MON-FRI', timezone: 'Europe/Berlin' },
        { kind: 'every', everyMs: 2000 },
      ],
      [
        { kind: 'after', job: 'a', on: 'success' },
        { kind: 'after', job: 'c', on: 'end' },
      ],
    ]);
  });

  it('has nodes behind what they need, whatever the order in which they stand', async () => {
    const { nodes } = await readOne(
      'name: d\nnodes:\n  c: { needs: [a, b], command: [report, "${inputs}/a"] }\n  b: { needs: [a], command: [doctor] }\n  a: { command: [doctor] }',
    );
    expect(nodes.map(({ name }) => name)).to.deep.equal(['a', 'b', 'c']);
  });

  it('takes values of shards from lists and files', async () => {
    const text = (file: string) =>
      `name: s\nnodes: { m: { command: [generate, --prompt, '\${item}'], shards: { file: ${file} } } }`;
    const items = async (file: string, content: string) =>
      (await readOne(text(file), { [file]: content })).nodes[0]!.shards;
    expect(await items('a.txt', 'one\n\ntwo\r\n')).to.deep.equal({ kind: 'each', items: ['one', 'two'] });
    expect(await items('a.jsonl', '{"seed":1}\n2\n')).to.deep.equal({ kind: 'each', items: [{ seed: 1 }, 2] });
    expect(await items('a.json', '[null, "x"]')).to.deep.equal({ kind: 'each', items: [null, 'x'] });
    expect(await wrong(text('a.jsonl'), { 'a.jsonl': '1\n{]\n' })).to.match(/^2: .*no JSON in line 2/);
    expect(await wrong(text('b.txt'))).to.match(/^2: .*is no file/);
    expect(await wrong(text('a.txt'), { 'a.txt': '\n' })).to.include('has no value');
    expect(await wrong(text('a.txt'), { 'a.txt': 'x\n'.repeat(10_001) })).to.include('10001 values');
  });

  it('an experiment is kept as the plan of all its runs, one a shard', async () => {
    const [{ job, blobs }] = (await read('name: e\nnodes: { sweep: { experiment: sweep.yaml } }', {
      'sweep.yaml': SWEEP,
    })) as [ReadJob];
    const [{ work, shards }] = job.nodes as [(typeof job.nodes)[number]];
    expect(work).to.include({ kind: 'experiment', numRuns: 4, plan: blobs[0]!.name });
    expect(shards).to.deep.equal({ kind: 'count', count: 4 });
    const plan = await readPlan({ get: () => blobs[0]!.content() }, 'p');
    expect(plan.experiment.name).to.equal('sweep');
    expect(plan.runs.map(({ seed }) => seed)).to.deep.equal([1, 1, 2, 2]);
  });

  const line = (id: string): string =>
    JSON.stringify({ custom_id: id, method: 'POST', url: '/v1/completions', body: {} });

  it('a batch is kept with its lines, so many a shard', async () => {
    const text = "name: b\nnodes: { m: { batch: { url: 'http://h:1', input: in.jsonl, lines_per_shard: 2 } } }";
    const [{ job, blobs }] = (await read(text, { 'in.jsonl': `${line('a')}\n${line('b')}\n\n${line('c')}` })) as [
      ReadJob,
    ];
    expect(job.nodes[0]!.work).to.include({
      kind: 'batch',
      numLines: 3,
      linesPerShard: 2,
      concurrency: 8,
      input: blobs[0]!.name,
    });
    expect(job.nodes[0]!.shards).to.deep.equal({ kind: 'count', count: 2 });
    const [other] = await read(text, { 'in.jsonl': `${line('a')}\n${line('b')}\n\n${line('d')}` });
    expect(other!.blobs[0]!.name).not.to.equal(blobs[0]!.name);
  });

  it('says the line of what is wrong, and what was probably meant', async () => {
    const job = (rest: string) => `name: j\n${rest}`;
    const nodes = 'nodes: { main: { command: [doctor] } }';
    const node = (text: string) => job(`nodes:\n  a: { command: [doctor] }\n  main:\n${text}`);
    const cases: readonly (readonly [string, RegExp])[] = [
      [job(`${nodes}\nblokking: cover`), /^3: .*no key "blokking" in a job; did you mean "blocking"\?/],
      [job('nodes: {}'), /^2: .*"nodes"/],
      [nodes, /^1: .*"name" is missing/],
      ['name: "a b"\n' + nodes, /^1: .*"name" is "a b".*64 letters/],
      [job(`blocking: sereal\n${nodes}`), /^2: .*"sereal".*serial/],
      [job(`triggers:\n  - { every_s: 0.5 }\n${nodes}`), /^3: .*"triggers.0.every_s" is 0.5/],
      [job(`triggers:\n  - {}\n${nodes}`), /^3: a trigger has one of cron, every_s and after/],
      [job(`triggers:\n  - { cron: '* *' }\n${nodes}`), /^3: .*it has 2 fields; give five/],
      [job(`triggers:\n  - { cron: '61 * * * *' }\n${nodes}`), /^3: .*can't be read/],
      [job(`triggers:\n  - { cron: '0 0 30 2 *' }\n${nodes}`), /^3: .*never comes/],
      [job(`triggers:\n  - { cron: '0 0 * * *', timezone: Europe/Berln }\n${nodes}`), /^3: .*IANA/],
      [job(`triggers:\n  - { every_s: 1, on: end }\n${nodes}`), /^3: "on" belongs to "after"/],
      [job(`triggers: [{ after: j }]\n${nodes}`), /^2: j would begin after itself/],
      [`jobs:\n  - { name: a, ${nodes} }\n  - { name: a, ${nodes} }`, /^3: two jobs are called a/],
      [node('    { command: [doctor], needs: [b] }'), /there is no such node; did you mean "a"\?/],
      [node('    { command: [doctor], needs: [main] }'), /wait for each other \(main → main\)/],
      [node('    { command: [doctor], rebalance: { url: "http://h" } }'), /^\d: .*this one has command and rebalance/],
      [node('    { needs: [a] }'), /this one has none/],
      [node('    { experiment: x.yaml, shards: 3 }'), /each run is a shard; remove/],
      [node('    { experiment: x.yaml }'), /is no file/],
      [node('    { command: [bash, -c, ls] }'), /"bash" is no command that jobs run/],
      [node('    { command: [generate, --promt, x] }'), /--promt is no option.*did you mean --prompt\?/],
      [node('    { command: [generate, --listen, "0.0.0.0:1"] }'), /--listen is no option/],
      [
        node('    { command: [generate, --set, server.host=x, --set, cluster.bus=nats://h] }'),
        /don't set "cluster.bus"/,
      ],
      [node('    { command: [generate, --prompt, "${itm}"] }'), /is no placeholder; did you mean "item"\?/],
      [node('    { command: [generate, --prompt, "${item}"] }'), /no value without a list of "shards"/],
      [node('    { command: [generate, --prompt, "${item.b}"], shards: [{ b: 1 }, 2] }'), /isn't in value 2/],
      [node('    { command: [report, "${inputs}"] }'), /empty without "needs"/],
      [
        job('triggers: [{ every_s: 1 }]\nnodes: { m: { command: [generate, --prompt, "${param.p}"] } }'),
        /nobody who gives it/,
      ],
      [node('    { command: [doctor], shards: 10001 }'), /"nodes.main.shards" is 10001/],
      [node('    { command: [doctor], timeout_s: 0 }'), /"nodes.main.timeout_s" is 0/],
      [node('    { command: [doctor], retries: { cuont: 1 } }'), /no key "cuont".*did you mean "count"/],
    ];
    for (const [text, message] of cases) expect(await wrong(text), text).to.match(message);
  });

  it('what is larger than a record may be is refused here, not by the bus', async () => {
    const items = JSON.stringify(Array.from({ length: 10_000 }, (_, i) => `${i}`.padStart(60, '0')));
    expect(await wrong(`name: j\nnodes: { m: { command: [doctor], shards: ${items} } }`)).to.match(/may have 524288/);
  });
});
