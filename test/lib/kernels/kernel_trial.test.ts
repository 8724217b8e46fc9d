import { expect } from 'chai';
import { judgeTrial, type KernelTrial, type Told, type TrialEnd } from '../../../lib/kernels/kernel_trial.js';

const digest = (way: 'plain' | 'fused', text: string): Told => ({ kind: 'digest', way, digest: text });
const tile = (way: 'plain' | 'fused', bits: 128 | 256, rows: number, us: number): Told => ({
  ...{ kind: 'tile', way, bits, rows, us },
});

/** What a processor with AVX2 and FMA tells on a Node that has all. */
const BITS: Told[] = [digest('plain', 'p'), { kind: 'fuses', isFused: true }, digest('fused', 'f')];
const TILES: Told[] = [
  ...[tile('plain', 128, 2, 100), tile('fused', 128, 2, 90), tile('plain', 256, 4, 50), tile('fused', 256, 6, 40)],
];
const WIDTH: Told[] = [...TILES, digest('plain', 'p'), digest('fused', 'f')];

const ended = (told: readonly Told[], reason: string | null = null, log = ''): TrialEnd => ({ told, reason, log });
const judged = (bits: TrialEnd, width: TrialEnd): KernelTrial => judgeTrial(bits, width, { node: 'v26.1.0' });

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
      ended(TILES, null, 'Error: unrecognized flag --experimental-wasm-revectorize\n'),
    );
    expect(unknown.lacks256).to.deep.equal({
      kind: 'lacking',
      why: 'Node v26.1.0 has no 256-bit SIMD for WebAssembly',
    });
    const slow = judged(
      ended(BITS),
      ended([TILES[0]!, TILES[1]!, tile('plain', 256, 2, 95), tile('fused', 256, 2, 90)]),
    );
    expect(slow.lacks256!.kind).to.equal('lacking');
    expect(slow.tileRows).to.include({ 'plain 128': 2 });
    expect([unknown.lacksFma, slow.lacksFma]).to.deep.equal([null, null]);
  });

  it('is a failure where other bits come out at 256 bits, and fusing stays', () => {
    const { lacks256, lacksFma } = judged(ended(BITS), ended([...TILES, digest('plain', 'q'), digest('fused', 'f')]));
    expect(lacks256).to.deep.equal({ kind: 'failed', why: 'it computed other bits than 128-bit SIMD' });
    expect(lacksFma).to.equal(null);
  });

  it('is a failure where the process ends, whenever that is, and fusing at 128 bits stays', () => {
    for (let told = 0; told < WIDTH.length; told++) {
      const { lacks256, lacksFma } = judged(ended(BITS), ended(WIDTH.slice(0, told), 'its trial ended with SIGTRAP'));
      expect(lacks256).to.deep.equal({ kind: 'failed', why: 'its trial ended with SIGTRAP' });
      expect(lacksFma).to.equal(null);
    }
  });

  it('is no fusing where the processor rounds twice, and a failure where bits change with V8', () => {
    const twice = judged(ended([BITS[0]!, { kind: 'fuses', isFused: false }]), ended(WIDTH));
    expect([twice.lacks256, twice.lacksFma!.kind]).to.deep.equal([null, 'lacking']);
    const changing = judged(ended(BITS), ended([...TILES, digest('plain', 'p'), digest('fused', 'g')]));
    expect(changing.lacksFma).to.deep.equal({ kind: 'failed', why: 'its bits depend on V8' });
  });

  it('is that nothing works where the kernels themselves end their process', () => {
    const { lacks256, lacksFma, tileRows } = judged(ended([], 'its trial ended with SIGILL'), ended([], 'it too'));
    expect(lacks256).to.deep.equal({ kind: 'failed', why: 'it too' });
    expect(lacksFma).to.deep.equal({ kind: 'failed', why: 'its trial ended with SIGILL' });
    expect(tileRows).to.deep.equal({});
  });
});
