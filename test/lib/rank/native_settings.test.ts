import { expect } from 'chai';
import fc from 'fast-check';
import { ALONE, localSeats, type LocalSeat } from '../../../lib/rank/local_seat.js';
import { nativeSettings, type NativeMachine } from '../../../lib/rank/native_settings.js';

const gpus = (count: number, name: (index: number) => string = () => 'NVIDIA H200') =>
  Array.from({ length: count }, (_, index) => ({ index, name: name(index), freeBytes: 1000 + index }));

const machine = (
  numGpus: number,
  env: NativeMachine['env'] = {},
  more: Partial<NativeMachine> = {},
): NativeMachine => ({
  ...{ env, devices: gpus(numGpus), numUsableCores: 16, numCores: 16 },
  ...more,
});

const seat = (index: number, count: number, startedTogether = count): LocalSeat => ({ index, count, startedTogether });
const gpuOf = (own: LocalSeat, on: NativeMachine) => nativeSettings(own, on).gpu;
const threadsOf = (own: LocalSeat, on: NativeMachine) => nativeSettings(own, on).variables.TF_NUM_INTRAOP_THREADS;

describe('the seats of a machine', () => {
  it('are counted over all that one process starts', () => {
    expect(localSeats(2)).to.deep.equal([seat(0, 2), seat(1, 2)]);
    expect(localSeats(1)).to.deep.equal([ALONE]);
  });

  it('are counted over all tasks of a launcher', () => {
    expect(localSeats(1, { localRank: 3, localSize: 4 })).to.deep.equal([seat(3, 4, 1)]);
    expect(localSeats(2, { localRank: 1, localSize: 2 })).to.deep.equal([seat(2, 4, 2), seat(3, 4, 2)]);
    expect(localSeats(1, { localRank: 3 }), 'at least four').to.deep.equal([seat(3, 4, 1)]);
  });
});

describe('what a rank tells TensorFlow', () => {
  it('is one GPU, in turn: ranks are spread evenly, and know with how many they share theirs', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 20 }), (numGpus, numRanks) => {
        const all = localSeats(numRanks).map((own) => gpuOf(own, machine(numGpus))!);
        const counts = gpus(numGpus).map(({ index }) => all.filter(({ device }) => device === `${index}`).length);
        expect(Math.max(...counts) - Math.min(...counts)).to.be.at.most(1);
        for (const { device, numRanks: sharing, freeBytes } of all) {
          expect(sharing).to.equal(counts[Number(device)]);
          expect(freeBytes).to.equal(1000 + Number(device));
        }
      }),
    );
  });

  it('is taken from what the user lets it see, as CUDA reads that', () => {
    const device = (list: string, index = 0): string | undefined =>
      gpuOf(seat(index, 4), machine(8, { CUDA_VISIBLE_DEVICES: list }))?.device;
    expect([0, 1, 2].map((index) => device('5, 3', index))).to.deep.equal(['5', '3', '5']);
    expect(device('4,-1,2', 1)).to.equal('4');
    expect([device(''), device('-1'), device('NoDevFiles')]).to.deep.equal([undefined, undefined, undefined]);
    expect(device('GPU-8a2f,MIG-77', 1)).to.equal('MIG-77');
  });

  it('names the device, in the order of the driver, and leaves alone what the user set', () => {
    expect(nativeSettings(seat(1, 2), machine(2)).variables).to.deep.equal({
      CUDA_VISIBLE_DEVICES: '1',
      CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
      TF_FORCE_GPU_ALLOW_GROWTH: 'true',
      TF_NUM_INTRAOP_THREADS: '8',
    });
    const own = { TF_FORCE_GPU_ALLOW_GROWTH: 'false', TF_NUM_INTRAOP_THREADS: '3', CUDA_VISIBLE_DEVICES: '1,0' };
    expect(nativeSettings(seat(1, 2), machine(2, own)).variables).to.deep.equal({ CUDA_VISIBLE_DEVICES: '0' });
    expect(nativeSettings(ALONE, machine(0)).variables).not.to.have.any.keys(
      ...['CUDA_VISIBLE_DEVICES', 'CUDA_DEVICE_ORDER'],
    );
  });

  it("knows a GPU's memory only where its number is sure", () => {
    const free = (env: NativeMachine['env'], name?: (index: number) => string): number | null =>
      gpuOf(ALONE, machine(2, env, { devices: gpus(2, name) }))!.freeBytes;
    const mixed = (index: number): string => `NVIDIA ${index}`;
    expect(free({}, mixed)).to.equal(1000);
    expect(free({ CUDA_VISIBLE_DEVICES: '1' })).to.equal(1001);
    expect(free({ CUDA_VISIBLE_DEVICES: '1' }, mixed)).to.equal(null);
    expect(free({ CUDA_VISIBLE_DEVICES: '1', CUDA_DEVICE_ORDER: 'PCI_BUS_ID' }, mixed)).to.equal(1001);
    expect(free({ CUDA_DEVICE_ORDER: 'FASTEST_FIRST' }, mixed)).to.equal(null);
    expect(free({ CUDA_VISIBLE_DEVICES: 'GPU-8a2f' })).to.equal(null);
  });

  it('takes a list in the environment of a task for its own', () => {
    const own = { CUDA_VISIBLE_DEVICES: '0' };
    expect(gpuOf(seat(3, 4, 1), machine(1, own))).to.deep.equal({ device: '0', freeBytes: 1000, numRanks: 1 });
    expect(gpuOf(seat(3, 4, 2), machine(1, own))!.numRanks).to.equal(2);
    expect(gpuOf(seat(3, 4), machine(1, own))!.numRanks).to.equal(4);
    expect(gpuOf(seat(3, 4, 1), machine(1))!.numRanks).to.equal(4);
  });

  it('is its share of the cores, and at least one', () => {
    const cores = (numUsableCores: number, numCores = 16): NativeMachine =>
      machine(0, {}, { numUsableCores, numCores });
    expect(threadsOf(ALONE, cores(16))).to.equal('16');
    expect(threadsOf(seat(0, 3), cores(16))).to.equal('5');
    expect(threadsOf(seat(0, 40), cores(16))).to.equal('1');
    expect(threadsOf(seat(0, 2), cores(8)), 'all ranks of a process on half of the cores').to.equal('4');
    expect(threadsOf(seat(0, 4, 1), cores(16)), 'tasks that no launcher bound').to.equal('4');
    expect(threadsOf(seat(0, 4, 1), cores(4)), 'tasks that a launcher bound').to.equal('4');
  });
});
