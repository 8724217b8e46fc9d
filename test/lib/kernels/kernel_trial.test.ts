import { expect } from 'chai';
import { judgeTrial, type KernelTrial, type Told, type TrialEnd } from '../../../lib/kernels/kernel_trial.js';

const digest = (way: 'plain' | 'fused', text: string, bits: 128 | 256 = 128): Told => ({
  ...{ kind: 'digest', way, bits, digest: text },
});
const tile = (way: 'plain' | 'fused', bits: 128 | 256, rows: number, us: number): Told => ({
  ...{ kind: 'tile', way, bits, rows, us },
});

/** What a processor with AVX2 and FMA tells on a Node that has all. */
const BITS: Told[] = [digest('plain', 'p'), { kind: 'fuses', isFused: true }, digest('fused', 'f')];
const TILES: Told[] = [
  ...[tile('plain', 128, 2, 100), tile('fused', 128, 2, 90), tile('plain', 256, 4, 50), tile('fused', 256, 6, 40)],
];
const WIDTH: Told[] = [digest('fused', 'f'), ...TILES, digest('plain', 'p', 256), digest('fused', 'f', 256)];

const ended = (told: readonly Told[], reason: string | null = null, log = ''): TrialEnd => ({ told, reason, log });
const judged = (bits: TrialEnd, width: TrialEnd, node = 'v26.1.0'): KernelTrial => judgeTrial(bits, width, { node });

describe('what trials of the kernels come to', () => {
  it('is 256 bits and fusing where both are right, with the fastest tile of each', () => {
    expect(judged(ended(BITS), ended(WIDTH))).to.deep.equal({
      lacks256: null,
      lacksFma: null,
      tileRows: { 'plain 128': 2, 'fused 128': 2, 'plain 256': 4, 'fused 256': 6 },
      gain: 2,
    });
  });

  it('is no 256 bits where V8 does not know them, or the flag makes nothing faster', () => {
    const unknown = judged(
      ended(BITS),
      ended([WIDTH[0]!, ...TILES], null, 'Error: unrecognized flag --experimental-wasm-revectorize\n'),
    );
    expect(unknown.lacks256).to.deep.equal({
      kind: 'lacking',
      why: 'Node v26.1.0 has no 256-bit SIMD for WebAssembly',
    });
    const slow = judged(
      ended(BITS),
      ended([WIDTH[0]!, TILES[0]!, TILES[1]!, tile('plain', 256, 2, 95), tile('fused', 256, 2, 90)]),
    );
    expect(slow.lacks256!.kind).to.equal('lacking');
    expect(slow.tileRows).to.include({ 'plain 128': 2 });
    expect([unknown.lacksFma, slow.lacksFma]).to.deep.equal([null, null]);
  });

  it('is a failure where other bits come out at 256 bits, and fusing stays', () => {
    const { lacks256, lacksFma } = judged(
      ended(BITS),
      ended([...WIDTH.slice(0, -2), digest('plain', 'q', 256), WIDTH.at(-1)!]),
    );
    expect(lacks256).to.deep.equal({ kind: 'failed', why: 'it computed other bits than 128-bit SIMD' });
    expect(lacksFma).to.equal(null);
  });

  it('is a failure where the process ends, whenever that is, and fusing at 128 bits stays', () => {
    for (let told = 1; told < WIDTH.length; told++) {
      const { lacks256, lacksFma } = judged(ended(BITS), ended(WIDTH.slice(0, told), 'its trial ended with SIGTRAP'));
      expect(lacks256).to.deep.equal({ kind: 'failed', why: 'its trial ended with SIGTRAP' });
      expect(lacksFma).to.equal(null);
    }
  });

  it('is no fusing where the process ends before its bits are known behind V8, whatever becomes of 256 bits', () => {
    const { lacks256, lacksFma } = judged(ended(BITS), ended([], 'its trial ended with SIGTRAP'));
    for (const lack of [lacks256, lacksFma])
      expect(lack).to.deep.equal({ kind: 'failed', why: 'its trial ended with SIGTRAP' });
    expect(judged(ended(BITS), ended(TILES)).lacksFma).to.deep.equal({ kind: 'failed', why: 'it told nothing' });
  });

  it('blames Node where it is too old for 256 bits, whether or not it knows the flag', () => {
    const slow = ended([WIDTH[0]!, TILES[0]!, tile('plain', 256, 2, 95)]);
    for (const width of [slow, ended([], 'its trial ended with SIGTRAP')]) {
      expect(judged(ended(BITS), width, 'v22.12.0').lacks256).to.deep.equal({
        kind: 'lacking',
        why: 'Node v22.12.0 has no 256-bit SIMD for WebAssembly',
      });
    }
    expect(judged(ended(BITS), slow).lacks256!.why).to.match(/^on this processor, Node v26/);
  });

  it('is no fusing where the processor rounds twice, and a failure where bits change with V8', () => {
    const twice = judged(ended([BITS[0]!, { kind: 'fuses', isFused: false }]), ended(WIDTH));
    expect([twice.lacks256, twice.lacksFma!.kind]).to.deep.equal([null, 'lacking']);
    const narrow = [digest('fused', 'g'), ...WIDTH.slice(1)];
    const wide = [...WIDTH.slice(0, -1), digest('fused', 'g', 256)];
    const neverWide = [digest('fused', 'g'), ...TILES];
    for (const told of [narrow, wide, neverWide])
      expect(judged(ended(BITS), ended(told)).lacksFma).to.deep.equal({ kind: 'failed', why: 'its bits depend on V8' });
  });

  it('is that nothing works where the kernels themselves end their process', () => {
    const { lacks256, lacksFma, tileRows } = judged(ended([], 'its trial ended with SIGILL'), ended([], 'it too'));
    expect(lacks256).to.deep.equal({ kind: 'failed', why: 'it too' });
    expect(lacksFma).to.deep.equal({ kind: 'failed', why: 'its trial ended with SIGILL' });
    expect(tileRows).to.deep.equal({});
  });
});
