import { expect } from 'chai';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { mock } from 'node:test';
import { LiveFeed } from '../../../../lib/server/live/live_feed.js';
import { LiveStream } from '../../../../lib/server/live/live_stream.js';
import { StagedEngine } from '../../../kit/server/staged_engine.js';

const OPTIONS = { name: 'played', version: '0' };

/** A stream that sends deltas every millisecond. */
function streamed(options: ConstructorParameters<typeof LiveStream>[1] = {}) {
  const engine = new StagedEngine({ numLayers: 1, numExperts: 4, numRanks: 2 });
  const feed = new LiveFeed(engine, OPTIONS);
  return { engine, stream: new LiveStream(feed, { intervalMs: 1, ...options }) };
}

/** Reads until the text holds something. */
async function readUntil(events: Readable, wanted: string): Promise<string> {
  let text = '';
  for await (const chunk of events.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.includes(wanted)) return text;
  }
  throw new Error(`the stream ended without ${wanted}`);
}

describe('the stream of the live page', () => {
  it('begins with a snapshot, and goes on with deltas', async () => {
    const { engine, stream } = streamed();
    const events = stream.open()!;
    const text = await readUntil(events, 'event: delta');
    expect(text).to.match(/^event: snapshot\ndata: \{.*\}\n\nevent: delta\ndata: \{/);
    engine.step({ decode_R: [1, 0] });
    expect(await readUntil(events, '"step":0')).to.include('"numDecode_R":[1,0]');
    stream.close();
  });

  it('makes deltas while somebody watches, and none while nobody does', async () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      const made: string[] = [];
      const feed = {
        start: () => made.push('start'),
        snapshot: () => made.push('snapshot'),
        delta: () => made.push('delta'),
      };
      const stream = new LiveStream(feed as unknown as LiveFeed, { intervalMs: 500 });
      mock.timers.tick(5000);
      const events = stream.open()!;
      mock.timers.tick(1000);
      expect(made).to.deep.equal(['start', 'snapshot', 'delta', 'delta']);
      events.destroy();
      await once(events, 'close');
      expect(stream.numWatchers).to.equal(0);
      mock.timers.tick(5000);
      expect(made).to.have.length(4);
      stream.close();
    } finally {
      mock.timers.reset();
    }
  });

  it('takes so many watchers, and another one when one has gone', async () => {
    const { stream } = streamed({ maxWatchers: 2 });
    const [first] = [stream.open()!, stream.open()!];
    expect(stream.open()).to.equal(null);
    first.destroy();
    await once(first, 'close');
    expect(stream.open()).not.to.equal(null);
    stream.close();
  });

  it('drops who doesn’t read, and nobody else', async () => {
    const { stream } = streamed({ maxBehindBytes: 4096 });
    const slow = stream.open()!;
    const quick = stream.open()!;
    quick.resume();
    await once(slow, 'close');
    expect(stream.numWatchers).to.equal(1);
    expect(quick.destroyed).to.equal(false);
    stream.close();
  });

  it('ends every stream when it is closed, and begins none after that', async () => {
    const { stream } = streamed();
    const events = stream.open()!;
    events.resume();
    stream.close();
    await once(events, 'end');
    expect(stream.open()).to.equal(null);
    stream.close();
  });
});
