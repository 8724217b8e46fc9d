import { expect } from 'chai';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { canonicalJson, runId } from '../../../../lib/experiment/file/run_id.js';

/** The same value with the keys of its mappings the other way round. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, each]) => [key, turned(each)]),
  );
}

const RUN = {
  point: { 'parallel.ranks': 2 },
  seed: 1,
  repeat: 0,
  config: { model: '/m', engine: { seed: 1 } },
  workload: { prompts: ['a'] },
  measure: { kind: 'generate' },
  warmup: 0,
};
const idOf = (run: unknown): string => runId(run as Parameters<typeof runId>[0], ['ab']);

describe('the id of a run', () => {
  it('is 16 digits of the SHA-256 of its JSON with sorted keys', () => {
    const json =
      '{"config":{"engine":{"seed":1},"model":"/m"},"inputs":["ab"],"measure":{"kind":"generate"},"point":{"parallel.ranks":2},"repeat":0,"seed":1,"warmup":0,"workload":{"prompts":["a"]}}';
    expect(canonicalJson({ ...RUN, inputs: ['ab'] })).to.equal(json);
    expect(idOf(RUN)).to.equal(createHash('sha256').update(json).digest('hex').slice(0, 16));
  });

  it('is another where anything differs that is computed', () => {
    const others = [
      { point: { 'parallel.ranks': 1 } },
      { seed: 2 },
      { repeat: 1 },
      { config: { model: '/m', engine: { seed: 2 } } },
      { workload: { prompts: ['b'] } },
      { measure: { kind: 'generate', routing: false } },
      { warmup: 1 },
    ].map((change) => idOf({ ...RUN, ...change }));
    others.push(runId(RUN as never, ['ac']));
    expect(new Set([idOf(RUN), ...others]).size).to.equal(others.length + 1);
  });

  it('says nothing of where in the order it is', () => {
    expect(idOf({ ...RUN, index: 7, round: 3, id: 'x' })).to.equal(idOf(RUN));
  });

  it('is the same whatever the order of keys', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(canonicalJson(turned(value))).to.equal(canonicalJson(value));
      }),
    );
  });

  it('tells different values apart', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const isSame = isDeepStrictEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
        expect(canonicalJson(a) === canonicalJson(b)).to.equal(isSame);
      }),
    );
  });
});
