import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { JobError } from '../../../lib/jobs/base/errors.js';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { errorOf } from '../../kit/rejects.js';
import type { Scene } from './scene.js';

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function* broken(): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(randomBytes(300_000));
  throw new Error('played');
}

export function blobsContract(scene: () => Scene): void {
  const put = (bus: JobBus, name: string, text: string): Promise<number> =>
    bus.blobs.put(name, pieces(Buffer.from(text), 5));
  const got = async (bus: JobBus, name: string): Promise<Buffer> => {
    const parts: Uint8Array[] = [];
    for await (const part of bus.blobs.get(name)) parts.push(part);
    return Buffer.concat(parts);
  };
  const refusal = async (bus: JobBus, name: string): Promise<string> =>
    (await errorOf(JobError, () => got(bus, name))).code;

  it('a file comes out as it was put in, byte for byte, whatever its size and name', async () => {
    const { bus, other } = scene();
    for (const size of [0, 1, 131_072, 1_000_003]) {
      const [bytes, name] = [randomBytes(size), `r1/work/0/1/größe ${size} of ‘a’.bin`];
      expect(await bus.blobs.put(name, pieces(bytes, 70_001))).to.equal(size);
      expect((await got(other, name)).equals(bytes)).to.equal(true);
    }
  });

  it('a file that is put again is the later one', async () => {
    const { bus, other } = scene();
    await put(bus, 'r1/a', 'first');
    await put(other, 'r1/a', 'second, which is longer');
    expect((await got(bus, 'r1/a')).toString()).to.equal('second, which is longer');
  });

  it('a file that isn’t there is told', async () => {
    expect(await refusal(scene().bus, 'r1/none')).to.equal('BROKEN_RECORD');
  });

  it('a file whose source breaks isn’t there, and what was there before is', async () => {
    const { bus, other } = scene();
    await put(bus, 'r1/old', 'old');
    for (const name of ['r1/new', 'r1/old'])
      expect((await errorOf(Error, () => bus.blobs.put(name, broken()))).message).to.equal('played');
    expect(await refusal(other, 'r1/new')).to.equal('BROKEN_RECORD');
    expect((await got(other, 'r1/old')).toString()).to.equal('old');
  });

  it('all below a prefix may be removed, and nothing else is', async () => {
    const { bus, other } = scene();
    const others = ['r10/work/0/a', 'r1-2/work/0/a'];
    for (const name of ['r1/work/0/a', 'r1/work/1/a', ...others]) await put(bus, name, name);
    await other.blobs.remove('r1/');
    await other.blobs.remove('r1');
    for (const name of ['r1/work/0/a', 'r1/work/1/a']) expect(await refusal(bus, name)).to.equal('BROKEN_RECORD');
    for (const name of others) expect((await got(bus, name)).toString()).to.equal(name);
    await put(bus, 'r1/work/1/a', 'r1');
    await other.blobs.remove('r1/work/1');
    expect(await refusal(bus, 'r1/work/1/a')).to.equal('BROKEN_RECORD');
  });

  it('files are put and read side by side', async () => {
    const { bus, other } = scene();
    const files = Array.from({ length: 20 }, (_, i) => ({ name: `r1/${i}`, bytes: randomBytes(50_000 + i) }));
    await Promise.all(files.map(({ name, bytes }) => bus.blobs.put(name, pieces(bytes, 9999))));
    const read = await Promise.all(files.map(({ name }) => got(other, name)));
    expect(read.map((bytes, i) => bytes.equals(files[i]!.bytes))).to.deep.equal(files.map(() => true));
  });
}
