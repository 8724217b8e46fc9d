import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OutputError } from '../../../../lib/commands/base/output_file.js';
import { TraceWriter } from '../../../../lib/commands/engine/trace_writer.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const compute = { name: 'experts', track: 'compute', startUs: 10, durationUs: 4, step: 1 } as const;
const flight = { name: 'dispatch flight', track: 'bytes', startUs: 12, durationUs: 4, step: 1, microBatch: 0 } as const;

describe('a trace file', () => {
  it('is one JSON array that names each rank once, before its events', async () => {
    await withTempFolder(async (dir) => {
      const path = join(dir, 'trace.json');
      const writer = await TraceWriter.create(path, 1);
      writer.add(1, [compute]);
      writer.add(0, []);
      writer.add(1, [flight]);
      expect(writer.summary()).to.equal(
        `trace: ${path}; ranks computed during 0 % of the time in which bytes were on their way`,
      );
      await writer.close();
      const events = JSON.parse(await readFile(path, 'utf8')) as {
        name: string;
        ph: string;
        pid: number;
        ts: number;
      }[];
      expect(events.map(({ name, pid }) => `${pid} ${name}`)).to.deep.equal([
        '1 the trace begins',
        ...['2 process_name', '2 process_sort_index', '2 thread_name', '2 thread_name', '2 experts'],
        '2 bytes sent in a step',
        ...['1 process_name', '1 process_sort_index', '1 thread_name', '1 thread_name'],
        ...['2 dispatch flight', '2 bytes sent in a step'],
      ]);
      const times = events.filter(({ ph }) => ph === 'X').map(({ ts }) => ts);
      expect(times, 'since the first event').to.deep.equal([0, 2]);
    });
  });

  it('marks where each rank begins to run with another placement, and names the tracks of moving experts once', async () => {
    await withTempFolder(async (dir) => {
      const path = join(dir, 'trace.json');
      const writer = await TraceWriter.create(path, 1);
      const rows = { name: 'rows of experts sent', track: 'sent', startUs: 9, durationUs: 1, step: 1 } as const;
      writer.add(0, [compute], 4);
      writer.add(1, [compute], 4);
      writer.add(0, [flight, compute, rows], 4);
      writer.add(0, [flight, { ...compute, step: 2 }, rows], 5);
      writer.add(0, [compute], 5);
      writer.add(1, [compute], 5);
      await writer.close();
      const events = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>[];
      const marks = events.filter(({ ph, s }) => ph === 'i' && s === 'p');
      expect(marks).to.deep.equal([
        { name: 'placement version 5', ph: 'i', s: 'p', pid: 1, tid: 1, ts: 0, args: { step: 1, version: 5 } },
        { name: 'placement version 5', ph: 'i', s: 'p', pid: 2, tid: 1, ts: 1, args: { step: 1, version: 5 } },
      ]);
      const named = events
        .filter(({ name, pid }) => String(name).endsWith('_name') && pid === 1)
        .map(({ args }) => args);
      expect(named).to.deep.equal([
        ...[{ name: 'rank 0' }, { name: 'compute' }, { name: 'exchange, micro-batch 0' }],
        ...[{ name: 'rows of experts sent' }, { name: 'rows of experts received' }],
      ]);
    });
  });

  it('without any event is an empty array, and tells where it is', async () => {
    await withTempFolder(async (dir) => {
      const path = join(dir, 'trace.json');
      const writer = await TraceWriter.create(path, 1);
      await writer.close();
      expect(JSON.parse(await readFile(path, 'utf8'))).to.deep.equal([]);
      expect(writer.summary()).to.equal(`trace: ${path}`);
    });
  });

  it('sums the overlap of all steps', async () => {
    await withTempFolder(async (dir) => {
      const writer = await TraceWriter.create(join(dir, 'trace.json'), 1);
      writer.add(0, [compute, flight]);
      writer.add(0, [flight]);
      await writer.close();
      expect(writer.summary()).to.contain('computed during 25 %');
    });
  });

  it('that cannot be written is named, when it is created or when it is closed', async () => {
    await withTempFolder(async (dir) => {
      const path = join(dir, 'nowhere', 'trace.json');
      const error = await errorOf(OutputError, () => TraceWriter.create(path, 1));
      expect(error.message).to.contain(`--trace ${path} can't be written`);
      const full = await TraceWriter.create('/dev/full', 1);
      full.add(0, [compute]);
      const onClose = await errorOf(OutputError, () => full.close());
      expect(onClose.message).to.match(/^--trace \/dev\/full can't be written \(ENOSPC/);
    });
  });
});
