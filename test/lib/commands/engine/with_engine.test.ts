import { expect } from 'chai';
import { withRanks } from '../../../../lib/commands/engine/engine_start.js';
import { withEngine } from '../../../../lib/commands/engine/with_engine.js';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { loadConfig } from '../../../../lib/config/load.js';
import { openModel } from '../../../../lib/head/opened_model.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';

describe('a command with an engine', () => {
  it('reports what went wrong first, also where its trace fills the disk then', async () => {
    const config = await loadConfig({ base: { model: tinyModel('tiny-qwen3-moe') } });
    const args = { trace: '/dev/full', waitRanks: 1 };
    const work = (): Promise<void> => Promise.reject(new Error('it must not start'));
    const model = await openModel(config);
    const error = await errorOf(UsageError, () =>
      withRanks(config, (start) => withEngine(args, start, model, commandContext(), work)),
    );
    expect(error.message).to.include('--wait-ranks needs --listen');
  });
});
