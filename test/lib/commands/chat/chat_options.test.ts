import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { chatConfig, checkChatOptions } from '../../../../lib/commands/chat/chat_options.js';
import { serverFields } from '../../../../lib/commands/chat/server_fields.js';
import { copyModel } from '../../../kit/model/model_copy.js';
import { moe7m } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

describe('the options of a chat', () => {
  it('refuse what an engine or a server has no use for, by name', async () => {
    for (const [args, words] of [
      [{ url: 'x', ranks: 2 }, '--ranks is for an engine of your own'],
      [{ url: 'x', set: ['a=b'] }, '--set is'],
      [{ url: 'x', numRedundantExperts: 1 }, '--num-redundant-experts is'],
      [{ apiKeyFile: 'k' }, '--api-key-file is for a server; give its --url'],
      [{ extraBody: '{}' }, '--extra-body is'],
    ] as const) {
      expect((await errorOf(UsageError, () => checkChatOptions(args))).message).to.contain(words);
    }
    checkChatOptions({ url: 'x', model: 'm', temperature: 1 });
    checkChatOptions({ model: 'm', ranks: 2 });
  });

  it('that sample are sent to a server under its names, and only those that were given', async () => {
    expect(serverFields({})).to.deep.equal({});
    expect(
      serverFields({ maxNewTokens: 8, temperature: 0, topP: 0.5, stop: ['a'], extraBody: '{"top_p": 1, "x": null}' }),
    ).to.deep.equal({ max_completion_tokens: 8, temperature: 0, top_p: 1, stop: ['a'], x: null });
    const endless = await errorOf(UsageError, () => serverFields({ temperature: Infinity }));
    expect(endless.message).to.equal("temperature is Infinity, which JSON can't say; give a number");
    for (const extraBody of ['', '[]', '7', 'null', '{']) {
      expect((await errorOf(UsageError, () => serverFields({ extraBody }))).message).to.contain('--extra-body is');
    }
  });

  it('leave the rest to generation_config.json and the context, unless a file or flag says otherwise', () =>
    withTempFolder(async (model) => {
      await copyModel(moe7m(), model);
      const file = join(model, 'a.yaml');
      await writeFile(join(model, 'generation_config.json'), '{"temperature": 0.6, "top_p": 0.9, "top_k": 5}');
      await writeFile(file, 'generate:\n  top_p: 1\n  max_new_tokens: 7\n');
      const { generate } = await chatConfig({ model }, {});
      expect(generate).to.include({ temperature: 0.6, top_p: 0.9, top_k: 5, min_p: 0, chat: true });
      expect(generate.max_new_tokens).to.be.above(1e6);
      const { generate: told } = await chatConfig({ model, config: file, temperature: 0 }, {});
      expect(told).to.include({ temperature: 0, top_p: 1, top_k: 5, max_new_tokens: 7 });
    }));
});
