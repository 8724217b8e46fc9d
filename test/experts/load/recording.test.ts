import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { ExpertError } from '../../../compute/base/errors.js';
import { LoadRecorder, type StepRouting } from '../../../experts/load/load_recorder.js';
import { placementFrom, type Placement } from '../../../experts/placement/placement.js';
import { recordedLoad } from '../../../experts/routing/recorded_routing.js';
import type { RecordingHeader, RecordMode, TokenRecord } from '../../../experts/load/recording.js';
import { readRecording, type RecordingLine } from '../../../experts/load/recording_reader.js';
import { randomFrom } from '../../../experts/routing/random.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const SHAPE = { numLayers: 2, numExperts: 6, numTopk: 2 };
const headerOf = (mode: RecordMode): RecordingHeader => ({ mode, model: 'm', ...SHAPE, createdBy: 'test 1' });

/** Steps of random choices with their loads; steps begin at 1, as the engine's do. */
function stepsOf(numSteps: number): (StepRouting & { readonly tokens: readonly TokenRecord[] })[] {
  const random = randomFrom(3);
  return Array.from({ length: numSteps }, (_, i) => {
    const tokens = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, request): TokenRecord => {
      const first = [0, 1].map(() => Math.floor(random() * SHAPE.numExperts));
      const experts = Uint16Array.from(first.flatMap((e) => [e, (e + 1) % SHAPE.numExperts]));
      return { step: i + 1, request, position: i, tokenId: Math.floor(random() * 99), experts };
    });
    const load_LE = [0, 1].map((layer) => {
      const load_E = new Float64Array(SHAPE.numExperts);
      for (const { experts } of tokens) for (const e of experts.subarray(2 * layer, 2 * layer + 2)) load_E[e]!++;
      return load_E;
    });
    return { step: i + 1, numTokens: tokens.length, load_LE, tokens };
  });
}

async function record(file: string, mode: RecordMode, steps: readonly StepRouting[], windowSize = 4): Promise<number> {
  const recorder = await LoadRecorder.create(file, headerOf(mode), { windowSize });
  for (const step of steps) await recorder.add(step);
  await recorder.close();
  return recorder.numRecords;
}

async function linesOf(file: string): Promise<RecordingLine[]> {
  const lines: RecordingLine[] = [];
  for await (const line of readRecording(file)) lines.push(line);
  return lines;
}

const totalOf = (steps: readonly StepRouting[]): number[][] =>
  [0, 1].map((layer) =>
    Array.from({ length: SHAPE.numExperts }, (_, e) => steps.reduce((sum, s) => sum + s.load_LE[layer]![e]!, 0)),
  );

/** Everything up to where it fails, and the error. */
async function readUntilError(file: string): Promise<{ lines: RecordingLine[]; error: ExpertError }> {
  const lines: RecordingLine[] = [];
  const error = await errorOf(ExpertError, async () => {
    for await (const line of readRecording(file)) lines.push(line);
  });
  return { lines, error };
}

describe('recordings', () => {
  it('per_pass gives back every step as it was', async () => {
    await withTempFolder(async (dir) => {
      const steps = stepsOf(9);
      const file = join(dir, 'r.jsonl.gz');
      expect(await record(file, 'per_pass', steps)).to.equal(9);
      expect(await linesOf(file)).to.deep.equal([
        { kind: 'header', header: headerOf('per_pass') },
        ...steps.map(({ step, numTokens, load_LE }) => ({
          kind: 'load',
          record: { step, numSteps: 1, numTokens, load_LE },
        })),
      ]);
    });
  });

  it('stat gives the sums of windows, the last one shorter', async () => {
    await withTempFolder(async (dir) => {
      const steps = stepsOf(10);
      const file = join(dir, 'r.jsonl.gz');
      expect(await record(file, 'stat', steps)).to.equal(3);
      const windows = [steps.slice(0, 4), steps.slice(4, 8), steps.slice(8)];
      const records = (await linesOf(file)).flatMap((line) => (line.kind === 'load' ? [line.record] : []));
      windows.forEach((window, i) => {
        const { step, numSteps, numTokens, load_LE } = records[i]!;
        expect({ step, numSteps }).to.deep.equal({ step: window[0]!.step, numSteps: window.length });
        expect(numTokens).to.equal(window.reduce((sum, each) => sum + each.numTokens, 0));
        expect(load_LE.map((load_E) => Array.from(load_E))).to.deep.equal(totalOf(window));
      });
    });
  });

  it('per_token gives back every token, and all modes sum up to the same load', async () => {
    await withTempFolder(async (dir) => {
      const steps = stepsOf(300); // more than is compressed at a time
      const file = join(dir, 'r.jsonl.gz');
      await record(file, 'per_token', steps);
      const tokens = (await linesOf(file)).flatMap((line) => (line.kind === 'token' ? [line.record] : []));
      expect(tokens).to.deep.equal(steps.flatMap((step) => step.tokens));
      for (const mode of ['stat', 'per_pass', 'per_token'] as const) {
        const other = join(dir, mode);
        await record(other, mode, steps);
        const { header, load_LE } = await recordedLoad(other);
        expect(header).to.deep.equal(headerOf(mode));
        expect(load_LE.map((load_E) => [...load_E])).to.deep.equal(totalOf(steps));
      }
    });
  });

  it('what was read can be recorded again to the same lines', async () => {
    await withTempFolder(async (dir) => {
      const [first, second] = [join(dir, 'a'), join(dir, 'b')];
      await record(first, 'per_token', stepsOf(20));
      const recorder = await LoadRecorder.create(second, headerOf('per_token'), { windowSize: 1 });
      for (const line of await linesOf(first)) {
        if (line.kind !== 'token') continue;
        await recorder.add({ step: line.record.step, numTokens: 1, load_LE: [], tokens: [line.record] });
      }
      await recorder.close();
      await recorder.close();
      expect(gunzipSync(await readFile(second))).to.deep.equal(gunzipSync(await readFile(first)));
    });
  });

  it('a file cut off after any byte is an error with file and line, after the whole records before', async () => {
    await withTempFolder(async (dir) => {
      const whole = join(dir, 'whole');
      await record(whole, 'per_pass', stepsOf(6));
      const [bytes, all] = [await readFile(whole), await linesOf(whole)];
      for (let length = 0; length < bytes.length; length++) {
        const file = join(dir, 'cut');
        await writeFile(file, bytes.subarray(0, length));
        const { lines, error } = await readUntilError(file);
        expect(error.code).to.equal('BAD_RECORDING');
        expect(error.message).to.contain(`${file}, line ${lines.length + 1}: `);
        expect(error).to.include({ file, line: lines.length + 1 });
        expect(lines).to.deep.equal(all.slice(0, lines.length));
        if (length > 0) expect(error.message).to.contain('cut off');
      }
    });
  });

  it('damage never passes for what was recorded', async () => {
    await withTempFolder(async (dir) => {
      const whole = join(dir, 'whole');
      await record(whole, 'per_pass', stepsOf(3));
      const [bytes, all] = [await readFile(whole), await linesOf(whole)];
      let numUnnoticed = 0;
      for (let at = 10; at < bytes.length; at++) {
        const damaged = Buffer.from(bytes);
        damaged[at]! ^= 0x10;
        const file = join(dir, 'damaged');
        await writeFile(file, damaged);
        const outcome = await linesOf(file).catch((error: unknown) => error);
        if (outcome instanceof ExpertError) expect(outcome).to.include({ code: 'BAD_RECORDING', file });
        else expect(outcome, `byte ${at} of ${bytes.length}`).to.deep.equal(all); // padding between deflate's bits
        if (Array.isArray(outcome)) numUnnoticed++;
      }
      expect(numUnnoticed).to.be.below(3);
    });
  });

  it('refuses lines that make no sense, with file, line and what is wrong', async () => {
    const header = {
      ...{ format: 'expertwire-load', format_version: 1, mode: 'per_pass', model: 'm' },
      ...{ num_layers: 1, num_experts: 3, num_topk: 2, created_by: 'test' },
    };
    const tokens = { ...header, mode: 'per_token' };
    const placed = { ...header, format_version: 2, num_ranks: 2, num_slots: 4 };
    const moved = { step: 1, placement_version: 1, layers: [{ layer: 0, phy2log: [0, 1, 2, -1] }] };
    const load = { step: 1, num_steps: 1, num_tokens: 2, load: [[1, 2, 3]] };
    const token = { step: 1, request: 0, position: 0, token_id: 7, experts: [[0, 2]] };
    const cases: readonly (readonly [number, readonly unknown[], RegExp])[] = [
      [1, [{ ...header, format: 'x' }], /header \{"format": "expertwire-load"/],
      [1, [load], /header/],
      [1, [{ ...header, format_version: 5 }], /format_version is 5, and this expertwire reads 1 and 2 and 3 and 4/],
      [1, [{ ...header, num_experts: [3, 4] }], /num_experts are 2, and there are 1 layers/],
      [
        1,
        [{ ...header, num_layers: 2, num_experts: [4, 1] }],
        /2 layers of 4 and 1 experts, 2 per token, is no model's shape/,
      ],
      [1, [{ ...header, format_version: 2 }], /num_ranks is undefined, not a whole number from 1/],
      [1, [{ ...header, window_size: 0 }], /window_size is 0/],
      [1, [{ ...placed, num_slots: 2 }], /num_slots is 2, not a whole number from 3/],
      [1, [{ ...placed, num_slots: 5 }], /5 slots per layer on 2 ranks, 1 layers, is no placement's shape/],
      [2, [header, moved], /header has no num_ranks/],
      [2, [placed, { ...moved, placement_version: -1 }], /placement_version is -1/],
      [2, [placed, { ...moved, layers: [{ layer: 1, phy2log: [0, 1, 2, -1] }] }], /places layer 1, and there are 1/],
      [2, [placed, { ...moved, layers: [{ layer: 0, phy2log: [0, 1, 2] }] }], /phy2log of layer 0 is not .* 4 at most/],
      [2, [placed, { ...moved, layers: [{ layer: 0, phy2log: [0, 1, 2, 3] }] }], /phy2log of layer 0 is not/],
      [3, [placed, moved, { ...moved, more: 'x'.repeat(2000) }], /longer than/],
      [1, [{ ...header, mode: 'all' }], /mode is "all", not one of stat, per_pass, per_token/],
      [1, [{ ...header, num_experts: 0 }], /num_experts is 0, not a whole number from 1/],
      [1, [{ ...header, num_layers: 2 ** 30 }], /no model's shape/],
      [1, [{ ...header, num_topk: 4 }], /no model's shape/],
      [1, [{ ...header, model: 'm'.repeat(70_000) }], /longer than the 65536 characters/],
      [2, [header, '{"step": 1'], /no JSON/],
      [2, [header, 5], /no JSON object/],
      [2, [header, { ...load, load: [[1, 2]] }], /load is not the header's 1 layers of 3/],
      [2, [header, { ...load, load: [[1, 2, -3]] }], /load is not/],
      [2, [header, { ...load, load: [[1, 2, null]] }], /load is not/],
      [2, [header, { ...load, load: [[1, 2, 3], [1]] }], /load is not/],
      [3, [header, load, { ...load, step: -1 }], /step is -1, not a whole number from 0/],
      [3, [header, load, { ...load, num_tokens: undefined }], /num_tokens is undefined/],
      [3, [header, load, { ...load, more: 'x'.repeat(2000) }], /longer than/],
      [2, [tokens, { ...token, router_logits: [[1, 2]] }], /router_logits is not the header's 1 layers of 3/],
      [2, [tokens, { ...token, router_logits: [[1, 2, null]] }], /router_logits is not/],
      [2, [tokens, load], /experts is not the header's 1 layers of 2/],
      [2, [tokens, { ...token, experts: [[0, 3]] }], /experts is not/],
      [2, [tokens, { ...token, experts: [[0.5, 1]] }], /experts is not/],
      [4, [tokens, token, token, { ...token, position: 'a' }], /position is "a"/],
    ];
    await withTempFolder(async (dir) => {
      for (const [line, content, words] of cases) {
        const file = join(dir, 'r');
        const text = content.map((each) => `${typeof each === 'string' ? each : JSON.stringify(each)}\n`).join('');
        await writeFile(file, gzipSync(text));
        const { error } = await readUntilError(file);
        expect(error.message).to.match(words);
        expect(error.message).to.match(/; record it again, or give another file$/);
        expect(error).to.include({ code: 'BAD_RECORDING', file, line });
      }
      await writeFile(join(dir, 'r'), gzipSync(`${JSON.stringify(header)}\n${JSON.stringify(load)}`));
      expect((await readUntilError(join(dir, 'r'))).error.message).to.contain('ends in the middle of a line');
      await writeFile(join(dir, 'r'), 'no gzip at all');
      expect((await readUntilError(join(dir, 'r'))).error.message).to.contain("isn't gzip");
      expect((await readUntilError(join(dir, 'nowhere'))).error.message).to.contain('ENOENT');
    });
  });

  describe('with placements', () => {
    const NUM_RANKS = 2;
    const slots = { numRanks: NUM_RANKS, numSlots: 8 };
    const at = (version: number, ...tables: readonly (readonly number[])[]): Placement =>
      placementFrom(
        version,
        NUM_RANKS,
        SHAPE.numExperts,
        tables.map((table) => Int32Array.from(table)),
      );
    const LOW = [0, 1, 2, -1, 3, 4, 5, -1];
    const HIGH = [3, 4, 5, -1, 0, 1, 2, -1];
    const SPREAD = [0, 1, 2, 3, 3, 4, 5, 0];
    const PLACEMENTS = [at(0, LOW, LOW), at(1, LOW, HIGH), at(2, SPREAD, HIGH)];
    /** Each placement runs three steps. */
    const placedSteps = stepsOf(9).map((step, i) => ({ ...step, placement: PLACEMENTS[Math.floor(i / 3)]! }));

    const recordPlaced = async (file: string, mode: RecordMode): Promise<RecordingLine[]> => {
      const recorder = await LoadRecorder.create(file, { ...headerOf(mode), slots }, { windowSize: 4 });
      for (const step of placedSteps) await recorder.add(step);
      await recorder.close();
      return linesOf(file);
    };

    it('say before the first load where every expert is, and later which layers changed; no record spans a change', async () => {
      await withTempFolder(async (dir) => {
        const names = new Map(Object.entries({ LOW, HIGH, SPREAD }).map(([name, table]) => [table.join(), name]));
        const textOf = (line: RecordingLine): string => {
          if (line.kind === 'load') return `${line.record.numSteps} steps from ${line.record.step}`;
          if (line.kind !== 'placement') return line.kind;
          const { step, version, layers } = line.record;
          const tables = layers.map(({ moeLayer, phy2log }) => `${moeLayer} ${names.get(phy2log.join())}`);
          return `version ${version} from ${step}: ${tables.join(', ')}`;
        };
        const lines = await recordPlaced(join(dir, 'r'), 'stat');
        expect(lines[0]).to.deep.equal({ kind: 'header', header: { ...headerOf('stat'), slots } });
        expect(lines.slice(1).map(textOf)).to.deep.equal([
          ...['version 0 from 1: 0 LOW, 1 LOW', '3 steps from 1'],
          ...['version 1 from 4: 1 HIGH', '3 steps from 4'],
          ...['version 2 from 7: 0 SPREAD', '3 steps from 7'],
        ]);
      });
    });

    it('tell what each rank carried, in every mode, however often experts moved', async () => {
      await withTempFolder(async (dir) => {
        // Step by step, by hand: an expert's tokens in equal shares to the ranks that hold it.
        const even = [0, 1].map((layer) => {
          const load_R = [0, 0];
          for (const { load_LE, placement } of placedSteps) {
            const table = placement.phy2log[layer]!;
            for (const [slot, e] of table.entries()) {
              if (e >= 0) load_R[slot < 4 ? 0 : 1]! += load_LE[layer]![e]! / table.filter((each) => each === e).length;
            }
          }
          return load_R;
        });
        for (const mode of ['stat', 'per_pass', 'per_token'] as const) {
          const file = join(dir, mode);
          await recordPlaced(file, mode);
          const { run, load_LE } = await recordedLoad(file);
          expect(load_LE.map((load_E) => [...load_E])).to.deep.equal(totalOf(placedSteps));
          expect(run!.numPlacements).to.equal(3);
          expect([run!.placement.version, run!.placement.phy2log]).to.deep.equal([2, PLACEMENTS[2]!.phy2log]);
          expect(run!.rankLoad.even.map((load_R) => [...load_R])).to.deep.equal(even);
          for (const [layer, load_R] of run!.rankLoad.balanced.entries()) {
            expect(load_R[0]! + load_R[1]!).to.be.closeTo(even[layer]![0]! + even[layer]![1]!, 1e-9);
            expect(Math.max(...load_R)).to.be.at.most(Math.max(...even[layer]!) + 1e-9);
          }
        }
      });
    });

    it('say how many ranks there are where these come and go, and then where every expert is', async () => {
      await withTempFolder(async (dir) => {
        const file = join(dir, 'r');
        const grown = placementFrom(
          3,
          3,
          SHAPE.numExperts,
          [0, 1].map(() => Int32Array.from([0, 1, 2, -1, -1, -1, 3, 4, 5])),
        );
        const steps = [...placedSteps, ...stepsOf(2).map((step) => ({ ...step, placement: grown }))];
        const header = { ...headerOf('stat'), slots: { ...slots, maxSlots: 12 } };
        const recorder = await LoadRecorder.create(file, header, { windowSize: 4 });
        for (const step of steps) await recorder.add(step);
        await recorder.close();
        const lines = await linesOf(file);
        expect(lines[0]).to.deep.equal({ kind: 'header', header });
        const sizes = lines.flatMap((line) =>
          line.kind === 'placement' ? [[line.record.numRanks ?? NUM_RANKS, line.record.layers.length]] : [],
        );
        expect(sizes).to.deep.equal([...[2, 1, 1].map((count) => [NUM_RANKS, count]), [3, 2]]);
        const { run } = await recordedLoad(file);
        expect(run!.placement).to.deep.equal(grown);
        const late = steps.slice(placedSteps.length).map(({ load_LE }) => load_LE[0]!);
        const ofThird = late.reduce((sum, load_E) => sum + load_E[3]! + load_E[4]! + load_E[5]!, 0);
        expect(run!.rankLoad.even[0]![2]).to.equal(ofThird).and.to.be.above(0);
      });
    });

    it('are not asked for where the header has no slots, and recordings without them say so', async () => {
      await withTempFolder(async (dir) => {
        const file = join(dir, 'r');
        await record(file, 'per_pass', placedSteps);
        expect((await linesOf(file)).filter(({ kind }) => kind === 'placement')).to.deep.equal([]);
        expect((await recordedLoad(file)).run).to.equal(null);
        expect(gunzipSync(await readFile(file)).toString()).to.contain('"format_version":1,');
      });
    });

    it('a load before its placement, or a first placement without some layer, is an error with the file', async () => {
      await withTempFolder(async (dir) => {
        const header = {
          ...{ format: 'expertwire-load', format_version: 2, mode: 'per_pass', model: 'm', created_by: 'test' },
          ...{ num_layers: 2, num_experts: 1, num_topk: 1, num_ranks: 1, num_slots: 1 },
        };
        const load = { step: 1, num_steps: 1, num_tokens: 2, load: [[1], [1]] };
        const placement = { step: 1, placement_version: 0, layers: [{ layer: 1, phy2log: [0] }] };
        for (const [second, words] of [
          [load, /load comes before the placement that it ran with/],
          [placement, /first placement of its size doesn't say where the experts of layer 0 are/],
        ] as const) {
          const file = join(dir, 'r');
          await writeFile(file, gzipSync([header, second].map((each) => `${JSON.stringify(each)}\n`).join('')));
          const error = await errorOf(ExpertError, () => recordedLoad(file));
          expect(error).to.include({ code: 'BAD_RECORDING', file });
          expect(error.message).to.match(words);
        }
      });
    });
  });

  it('a file that no more can be written to is an error, when it happens or at the end', async function () {
    if (process.platform !== 'linux') this.skip();
    const recorder = await LoadRecorder.create('/dev/full', headerOf('per_pass'), { windowSize: 1 });
    const error = await errorOf(Error, async () => {
      for (const step of stepsOf(2000)) await recorder.add(step);
      await recorder.close();
    });
    expect(error).to.include({ code: 'ENOSPC' });
    expect(await errorOf(Error, () => recorder.close())).to.include({ code: 'ENOSPC' });
  });
});
