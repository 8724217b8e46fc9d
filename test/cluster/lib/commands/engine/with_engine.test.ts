import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withRanks } from '../../../../../lib/commands/engine/engine_start.js';
import { withEngine } from '../../../../../lib/commands/engine/with_engine.js';
import { loadConfig } from '../../../../../lib/config/load.js';
import type { Engine } from '../../../../../lib/head/engine.js';
import { openModel } from '../../../../../lib/head/opened_model.js';
import { pidOf } from '../../../../../lib/metrics/chrome_trace.js';
import { commandContext } from '../../../../kit/processes/command_context.js';
import { generateIds } from '../../../../kit/engine/engines.js';
import { tinyModel } from '../../../../kit/paths.js';
import { withTempFolder } from '../../../../kit/temp_folder.js';

interface Traced {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly args: { readonly step: number; readonly bytes: number; readonly version: number };
}

describe('a command with an engine', function () {
  this.timeout(60_000);

  it('--trace shows every row of the experts that moved, and from which step each rank had another placement', async () => {
    await withTempFolder(async (dir) => {
      const path = join(dir, 'trace.json');
      const always = ['enabled=true', 'step_interval=2', 'window_size=2', 'min_gain=0', 'cool_down=0'];
      const base = { model: tinyModel('tiny-deepseek-v3'), parallel: { ranks: 2 } };
      const config = await loadConfig({ base, overrides: always.map((key) => `load_balance.${key}`) });
      const model = await openModel(config);
      let [movedBytes, version] = [0, 0];
      const work = async (engine: Engine): Promise<void> => {
        do await generateIds(engine, { promptTokenIds: [5, 17, 3, 9] });
        while (engine.stats().rebalancing!.numRebalances === 0);
        await generateIds(engine, { promptTokenIds: [5], maxNewTokens: 1 });
        movedBytes = engine.stats().rebalancing!.movedBytes;
        ({ version } = engine.placement);
      };
      await withRanks(config, (start) => withEngine({ trace: path }, start, model, commandContext(), work));
      const events = JSON.parse(await readFile(path, 'utf8')) as Traced[];
      for (const direction of ['sent', 'received']) {
        const rows = events.filter(({ name, ph }) => ph === 'X' && name === `rows of experts ${direction}`);
        expect(rows.reduce((sum, { args }) => sum + args.bytes, 0)).to.equal(movedBytes);
      }
      const switches = [0, 1].map((rank) =>
        events.filter(({ name, pid }) => name.startsWith('placement version') && pid === pidOf(rank)),
      );
      const versions = Array.from({ length: version }, (_, i) => i + 1);
      for (const own of switches) expect(own.map(({ args }) => args.version)).to.deep.equal(versions);
      const [stepsOf0, stepsOf1] = switches.map((own) => own.map(({ args }) => args.step));
      expect(stepsOf0).to.deep.equal(stepsOf1);
    });
  });
});
