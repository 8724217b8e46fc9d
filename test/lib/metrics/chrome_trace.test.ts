import { expect } from 'chai';
import {
  chromeEvents,
  chromeHead,
  chromeMoveHead,
  chromeSwitch,
  pidOf,
  type ChromeEvent,
} from '../../../lib/metrics/chrome_trace.js';
import type { TimelineEvent } from '../../../lib/metrics/timeline.js';
import { traceStep } from '../../../lib/metrics/trace_step.js';

const event = (name: string, track: TimelineEvent['track'], startUs: number, endUs: number): TimelineEvent => ({
  ...{ name, track, startUs, step: 1 },
  durationUs: endUs - startUs,
});

describe('a trace in the Trace Event Format', () => {
  it('has a process per rank, a thread for compute and one per micro-batch, none of them 0', () => {
    expect(
      chromeHead(0, 2).map(({ ph, pid, tid, args }) => [ph, pid, tid, args.name ?? args.sort_index]),
    ).to.deep.equal([
      ['M', 1, 1, 'rank 0'],
      ['M', 1, 1, 0],
      ['M', 1, 1, 'compute'],
      ['M', 1, 2, 'exchange, micro-batch 0'],
      ['M', 1, 3, 'exchange, micro-batch 1'],
    ]);
    const flight = { ...event('dispatch flight', 'bytes', 5, 9), layer: 4, microBatch: 1 };
    expect(chromeEvents(3, flight)).to.deep.equal([
      {
        ...{ name: 'dispatch flight', ph: 'X', pid: 4, tid: 3, ts: 5, dur: 4 },
        args: { step: 1, layer: 4, microBatch: 1 },
      },
    ]);
  });

  it('shows rows of experts on tracks of their own, and another placement as a moment of the whole rank', () => {
    const lanes = chromeMoveHead(3).map(({ tid, args }) => [args.name, tid]);
    const arrived = { ...event('rows of experts received', 'received', 5, 9), numFrames: 2, bytes: 64 };
    const [{ tid, args }] = chromeEvents(3, arrived) as [ChromeEvent];
    expect(args).to.deep.equal({ step: 1, numFrames: 2, bytes: 64 });
    expect(lanes).to.deep.include(['rows of experts received', tid]);
    const others = chromeHead(3, 8).map((head) => head.tid);
    for (const [, lane] of lanes) expect(others).not.to.include(lane);
    expect(chromeSwitch(3, 7, { ...arrived, step: 9 })).to.deep.equal({
      ...{ name: 'placement version 7', ph: 'i', s: 'p', pid: 4, tid: 1, ts: 5 },
      args: { step: 9, version: 7 },
    });
  });

  it('has an arrow for each frame with rows, from the pack of one rank to the flight of the other', () => {
    const place = { step: 1, layer: 2, microBatch: 0 };
    const pack = {
      ...{ ...event('dispatch pack', 'rows', 5, 9), ...place },
      sent: [
        { rank: 1, rows: 2, bytes: 80 },
        { rank: 2, rows: 0, bytes: 40 },
      ],
    };
    const flight = {
      ...{ ...event('dispatch flight', 'bytes', 10, 20), ...place },
      received: [{ rank: 0, rows: 2, bytes: 80, atUs: 7 }],
    };
    const [packed, start, ...more] = chromeEvents(0, pack);
    const [flown, end] = chromeEvents(1, flight);
    expect(more, 'an empty frame is no arrow').to.deep.equal([]);
    expect(packed!.args).to.include({ rows_sent: 2, bytes_sent: 120, 'to rank 1': '2 rows, 80 bytes' });
    expect(flown!.args).to.include({ rows_received: 2, bytes_received: 80 });
    expect(start).to.include({ ph: 's', ts: 5, pid: pidOf(0), tid: packed!.tid, cat: 'rows', name: 'dispatch' });
    expect(end, 'one that came before the flight ends where that begins').to.include({ ph: 'f', bp: 'e', ts: 10 });
    expect(end!.id).to.equal(start!.id);
  });

  it('gives every arrow of some steps an id of its own, each a whole number that JSON keeps', () => {
    const ids = new Set<number>();
    let count = 0;
    for (const step of [1, 2, 32_767])
      for (const layer of [0, 1, 60])
        for (const microBatch of [0, 1])
          for (const phase of ['dispatch', 'combine', 'dispatch_node', 'combine_node'])
            for (const from of [0, 1, 300])
              for (const rank of [0, 1, 300]) {
                const sent = [{ rank, rows: 1, bytes: 1 }];
                const pack = { ...event(`${phase} pack`, 'rows', 0, 1), step, layer, microBatch, sent };
                ids.add(chromeEvents(from, pack)[1]!.id!);
                count++;
              }
    expect(ids.size).to.equal(count);
    for (const id of ids) expect(Number.isSafeInteger(id)).to.equal(true);
  });

  it('tells of each rank what it sent and computed in a step, beside the mean', () => {
    const sent = [{ rank: 1, rows: 1, bytes: 50 }];
    const experts = (layer: number) => ({ ...event('experts', 'compute', 4, 5), layer });
    const ranks = [
      {
        rank: 0,
        events: [{ ...event('dispatch pack', 'rows', 3, 4), layer: 1, sent }, experts(1), experts(3)],
        rankLoad: [
          [1, 2],
          [0, 4],
        ],
      },
      {
        rank: 1,
        events: [experts(1)],
        rankLoad: [
          [3, 0],
          [1, 1],
        ],
      },
    ];
    const [first, second] = traceStep(ranks) as [ReturnType<typeof chromeEvents>, ReturnType<typeof chromeEvents>];
    const figures = (events: typeof first) =>
      events.filter(({ ph }) => ph === 'C').map(({ name, ts, args }) => [name, ts, args]);
    expect(figures(first)).to.deep.equal([
      ['bytes sent in a step', 3, { dispatch: 50, combine: 0 }],
      ['choices computed in a step', 3, { choices: 5 }],
      ['load / mean', 3, { ratio: 5 / 6 }],
    ]);
    expect(figures(second).at(-1)).to.deep.equal(['load / mean', 4, { ratio: 7 / 6 }]);
    const loads = first.filter(({ name }) => name === 'experts').map(({ args }) => args);
    expect(loads).to.deep.equal([
      { step: 1, layer: 1, choices_in_step: 4, load_of_mean: 4 / 3 },
      { step: 1, layer: 3, choices_in_step: 1, load_of_mean: 1 / 3 },
    ]);
    const [unknown] = traceStep([{ ...ranks[0]!, rankLoad: null }]) as [typeof first];
    expect(figures(unknown).map(([name]) => name)).to.deep.equal(['bytes sent in a step']);
  });
});
