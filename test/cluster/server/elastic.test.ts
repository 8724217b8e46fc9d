import { expect } from 'chai';
import OpenAI from 'openai';
import { scale } from '../../../lib/commands/scale.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import type { ScaleEvent } from '../../../lib/head/elastic/scale_events.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { Processes } from '../../kit/processes/processes.js';
import { ServedJob } from '../../kit/server/served_job.js';

const processes = new Processes();

const PROMPTS = ['Call me', 'In the beginning', 'import', '# A', 'The LORD said unto', 'It was the best of'];
const SET = ['comm.on_peer_loss=recover', 'comm.reduce=source', 'server.drain_timeout_ms=1000'];

/** All at once, so many tokens each, every other one as it comes. */
async function textsOf(job: ServedJob, numTokens: number): Promise<string[]> {
  const client = new OpenAI({ baseURL: `${job.url}/v1`, apiKey: 'none', maxRetries: 0 });
  const fields = { model: 'moe-7m', max_tokens: numTokens, temperature: 0, ignore_eos: true };
  const whole = async (prompt: string): Promise<string> =>
    (await client.completions.create({ ...fields, prompt })).choices[0]!.text;
  const streamed = async (prompt: string): Promise<string> => {
    let text = '';
    for await (const { choices } of await client.completions.create({ ...fields, prompt, stream: true })) {
      text += choices[0]!.text;
    }
    return text;
  };
  return Promise.all(PROMPTS.map((prompt, i) => (i % 2 === 0 ? whole(prompt) : streamed(prompt))));
}

/** What the command prints. */
async function scaleTo(job: ServedJob, ranks: number): Promise<string> {
  const context = commandContext();
  await scale({ ranks, url: job.url }, context);
  return context.printed();
}

async function metric(job: ServedJob, name: string): Promise<number> {
  const text = await (await fetch(`${job.url}/metrics`)).text();
  return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, 'm').exec(text)![1]);
}

describe('a server whose ranks come and go', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('answers the official client as if they stayed, whole and streamed, with requests and without', async () => {
    const job = await ServedJob.start({ model: DEMO_MODEL, ranks: 2, set: [...SET, 'parallel.max_ranks=3'] });
    try {
      const wanted = await textsOf(job, 120);
      const texts = textsOf(job, 120);
      await job.until(({ numRunning }) => numRunning === PROMPTS.length);
      expect(await scaleTo(job, 3)).to.match(/^2 → 3 ranks · joined: 2 · moved: \d+ experts, 0 sequences · /);
      expect(await scaleTo(job, 1)).to.match(/^3 → 1 rank · left: 2, 1 · moved: \d+ experts, \d+ sequences · /);
      expect(await texts).to.deep.equal(wanted);
      job.expectIdle();
      expect(await scaleTo(job, 2)).to.match(/^1 → 2 ranks · joined: 1 · /); // while nothing runs
      expect(await scaleTo(job, 2)).to.equal('2 ranks, as before\n');
      expect(await textsOf(job, 120)).to.deep.equal(wanted);
      expect(await metric(job, 'expertwire:ranks')).to.equal(2);
      expect(await metric(job, 'expertwire:seats')).to.equal(3);
      expect(await metric(job, 'expertwire:scaled_total')).to.equal(3);
      expect(await metric(job, 'expertwire:lost_ranks')).to.equal(0);
      expect(job.engine.stats().rankStates).to.deep.equal(['present', 'present', 'left']);
    } finally {
      await job.close();
    }
  });

  it('has one rank more by itself where requests wait', async () => {
    const policy = ['elastic.enabled=true', 'elastic.up=2', 'elastic.interval_steps=4', 'elastic.cool_down=1000'];
    const set = [...SET, ...policy, 'parallel.max_ranks=2', 'engine.max_num_seqs=2'];
    const job = await ServedJob.start({ model: DEMO_MODEL, ranks: 1, set });
    const events: ScaleEvent[] = [];
    job.engine.watch({ scale: (event) => void events.push(event) });
    try {
      const texts = await textsOf(job, 120);
      await job.until(() => !job.engine.isScaling);
      expect(events.map(({ kind }) => kind)).to.deep.equal(['begun', 'done']);
      const { cause } = events[0]!;
      expect(cause).to.include({ kind: 'policy', metric: 'waiting', before: 1, after: 2, numSteps: 4 });
      expect(job.engine.stats().rankStates).to.deep.equal(['present', 'present']);
      expect(await textsOf(job, 120)).to.deep.equal(texts);
    } finally {
      await job.close();
    }
  });
});
