import { expect } from 'chai';
import { openWeights } from '../../../lib/model/stored/model_weights.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { Fingerprint } from '../../../lib/weights/fingerprint.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { tinyModel } from '../../kit/paths.js';

const CONFIG = Buffer.from('{}');
const HEADERS = [Buffer.from('{"a":1}'), Buffer.from('{"b":2}')];
const ONE = Uint8Array.of(1, 2, 3);
const TWO = Uint8Array.of(4, 5);

function digestOf(
  config: Uint8Array,
  headers: readonly Uint8Array[],
  tensors: readonly [string, Uint8Array][],
): string {
  const fingerprint = new Fingerprint([config, ...headers]);
  for (const [name, bytes] of tensors) fingerprint.add(name, bytes);
  return fingerprint.digest();
}

describe('fingerprint', () => {
  const reference = digestOf(CONFIG, HEADERS, [
    ['one', ONE],
    ['two', TWO],
  ]);

  it('is 64 hexadecimal digits, the same whenever it is asked for', () => {
    const fingerprint = new Fingerprint([CONFIG, ...HEADERS]);
    expect(fingerprint.digest())
      .to.match(/^[0-9a-f]{64}$/)
      .and.equal(fingerprint.digest());
  });

  it('does not depend on the order in which tensors were read, nor on reading one twice', () => {
    const other = digestOf(CONFIG, HEADERS, [
      ['two', TWO],
      ['one', ONE],
      ['two', TWO],
    ]);
    expect(other).to.equal(reference);
  });

  it('changes with the configuration, a header, their order, a byte, a name or a missing tensor', () => {
    const others = [
      digestOf(Buffer.from('{ }'), HEADERS, [
        ['one', ONE],
        ['two', TWO],
      ]),
      digestOf(CONFIG, HEADERS.slice(0, 1), [
        ['one', ONE],
        ['two', TWO],
      ]),
      digestOf(CONFIG, HEADERS.toReversed(), [
        ['one', ONE],
        ['two', TWO],
      ]),
      digestOf(CONFIG, HEADERS, [
        ['one', ONE],
        ['two', Uint8Array.of(4, 6)],
      ]),
      digestOf(CONFIG, HEADERS, [
        ['one', TWO],
        ['two', ONE],
      ]),
      digestOf(CONFIG, HEADERS, [
        ['one', ONE],
        ['three', TWO],
      ]),
      digestOf(CONFIG, HEADERS, [['one', ONE]]),
    ];
    expect(new Set([reference, ...others]).size).to.equal(1 + others.length);
  });

  it('takes the bytes of a checkpoint from the reads that happen anyway', async () => {
    const { dir, config, configBytes } = await readModelFiles(tinyModel('tiny-deepseek-v3'));
    const weights = await openWeights(dir, modelSpecOf(config));
    const { checkpoint } = weights;
    const [first, second, none] = [0, 1, 2].map(() => new Fingerprint([configBytes, ...checkpoint.headers]));
    for (const fingerprint of [first, second]) {
      await weights.matrix('lm_head.weight', [96, 48], { fingerprint });
      await weights.floats('model.norm.weight', [48], { fingerprint });
    }
    expect(checkpoint.bytesRead).to.equal(2 * weights.totalBytes(['model.norm.weight', 'lm_head.weight']));
    expect(second!.digest()).to.equal(first!.digest());
    expect(none!.digest()).not.to.equal(first!.digest());
    await weights.close();
  });
});
