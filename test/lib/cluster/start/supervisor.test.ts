import { expect } from 'chai';
import { setImmediate as turn } from 'node:timers/promises';
import { ClusterError } from '../../../../lib/cluster/base/errors.js';
import { Supervisor } from '../../../../lib/cluster/start/supervisor.js';
import { PlayedProcess } from '../../../kit/cluster/played_processes.js';
import { errorOf } from '../../../kit/rejects.js';

/** A supervisor of played instances, whose pauses end when the test says so. */
function supervised(names: readonly string[], isStubborn = false) {
  const started: PlayedProcess[] = [];
  const story: string[] = [];
  const pauses: (() => void)[] = [];
  let nowMs = 0;
  const supervisor = new Supervisor({
    names,
    start: (name, onLine) => {
      const played = new PlayedProcess(name, started.length + 1, onLine, isStubborn);
      started.push(played);
      return played;
    },
    events: {
      up: (name, { url }) => story.push(`${name} up ${url}`),
      down: (name, words, againMs) => story.push(`${name} down ${againMs}: ${words}`),
      line: (name, { text }) => story.push(`${name}: ${text}`),
    },
    wait: (_ms, signal) =>
      new Promise((resolve) => {
        pauses.push(resolve);
        signal.addEventListener('abort', () => resolve());
      }),
    clock: () => nowMs,
  });
  return { supervisor, started, story, pauses, passes: (ms: number) => (nowMs += ms) };
}

/** What promises bring about has come about. */
const settled = (): Promise<unknown> => turn().then(() => turn());

describe('the supervisor of instances', () => {
  it('has started when all serve', async () => {
    const { supervisor, started, story } = supervised(['a', 'b']);
    let isUp = false;
    const starting = supervisor.start().then(() => (isUp = true));
    started[1]!.serves();
    await settled();
    expect(isUp).to.equal(false);
    started[0]!.serves();
    await starting;
    expect(story).to.deep.equal(['b up http://127.0.0.1:2', 'a up http://127.0.0.1:1']);
    await supervisor.close();
  });

  it('one that ends before it served ends all, by name and with its last words', async () => {
    const { supervisor, started } = supervised(['a', 'b']);
    const starting = errorOf(ClusterError, () => supervisor.start());
    started[0]!.serves();
    await settled();
    started[1]!.says('expertwire: NOT_FOUND: no model');
    started[1]!.ends(2);
    const error = await starting;
    expect([error.code, error.instance]).to.deep.equal(['START_FAILED', 'b']);
    expect(error.message).to.equal(
      'START_FAILED: instance b (process 2) ended with exit code 2; its last words: expertwire: NOT_FOUND: no model; correct that',
    );
    expect(started[0]!.signals).to.deep.equal(['SIGTERM']);
  });

  it('one that ends later is named, and started anew after a pause that grows', async () => {
    const { supervisor, started, story, pauses, passes } = supervised(['a']);
    const starting = supervisor.start();
    started[0]!.serves();
    await starting;
    passes(1000);
    started[0]!.ends(null, 'SIGKILL');
    await settled();
    expect(story.at(-1)).to.equal('a down 500: instance a (process 1) was killed by SIGKILL; it said nothing');
    expect(started).to.have.length(1);
    pauses[0]!();
    await settled();
    started[1]!.ends(1);
    await settled();
    expect(story.at(-1)).to.match(/^a down 1000: instance a \(process 2\) ended with exit code 1/);
    pauses[1]!();
    await settled();
    started[2]!.serves();
    await settled();
    expect(story.at(-1)).to.equal('a up http://127.0.0.1:3');
    passes(60_000);
    started[2]!.ends(0);
    await settled();
    expect(story.at(-1)).to.match(/^a down 500: /);
    await supervisor.close();
    expect(started).to.have.length(3);
  });

  it('who doesn’t end when asked is killed, and none is started any more', async () => {
    const { supervisor, started, story, pauses } = supervised(['a', 'b'], true);
    const starting = supervisor.start();
    for (const each of started) each.serves();
    await starting;
    const numTold = story.length;
    const closing = Promise.all([supervisor.close(), supervisor.close()]);
    pauses[0]!();
    await closing;
    expect(started.map(({ signals }) => signals)).to.deep.equal([
      ['SIGTERM', 'SIGKILL'],
      ['SIGTERM', 'SIGKILL'],
    ]);
    expect([started.length, story.length]).to.deep.equal([2, numTold]);
  });

  it('one more that is added is kept like the others; one that doesn’t serve ends alone', async () => {
    const { supervisor, started, story, pauses } = supervised(['a']);
    const starting = supervisor.start();
    started[0]!.serves();
    await starting;
    const failing = errorOf(ClusterError, () => supervisor.add('b'));
    started[1]!.ends(1);
    expect((await failing).message).to.match(/^START_FAILED: instance b \(process 2\) ended with exit code 1/);
    const adding = supervisor.add('b');
    started[2]!.serves();
    await adding;
    started[2]!.ends(1);
    await settled();
    expect(story.at(-1)).to.match(/^b down 500: /);
    pauses[0]!();
    await settled();
    expect(started.map(({ name }) => name)).to.deep.equal(['a', 'b', 'b', 'b']);
    expect(started[0]!.signals).to.deep.equal([]);
    await supervisor.close();
    expect((await errorOf(ClusterError, () => supervisor.add('c'))).code).to.equal('CLOSED');
    expect(started).to.have.length(4);
  });

  it('one that is removed is asked to end, stays away, and is killed where it takes too long', async () => {
    for (const isStubborn of [false, true]) {
      const { supervisor, started, story, pauses } = supervised(['a', 'b'], isStubborn);
      const starting = supervisor.start();
      for (const each of started) each.serves();
      await starting;
      const numTold = story.length;
      const removing = supervisor.remove('b', 1000);
      pauses[0]!();
      await removing;
      expect(started[1]!.signals).to.deep.equal(isStubborn ? ['SIGTERM', 'SIGKILL'] : ['SIGTERM']);
      await settled();
      expect([started.length, story.length]).to.deep.equal([2, numTold]);
      const closing = supervisor.close();
      pauses.at(-1)!();
      await closing;
      expect([started[0]!.signals.length, started[1]!.signals.length]).to.deep.equal(isStubborn ? [2, 2] : [1, 1]);
    }
  });

  it('one that is removed while it waits to be started anew isn’t', async () => {
    const { supervisor, started } = supervised(['a', 'b']);
    const starting = supervisor.start();
    for (const each of started) each.serves();
    await starting;
    started[1]!.ends(1);
    await settled();
    await supervisor.remove('b', 1000);
    await settled();
    expect(started).to.have.length(2);
    await supervisor.close();
  });

  it('that is closed while instances start says so', async () => {
    const { supervisor, started } = supervised(['a']);
    const starting = errorOf(ClusterError, () => supervisor.start());
    await supervisor.close();
    expect((await starting).code).to.equal('CLOSED');
    expect(started[0]!.signals).to.deep.equal(['SIGTERM']);
  });
});
