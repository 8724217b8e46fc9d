import { expect } from 'chai';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadTokenizer } from '../../../../lib/tokenizer/tokenizer.js';
import { moe7m } from '../../../kit/paths.js';
import { PlayedEngine, playText } from '../../../kit/server/played_engine.js';
import { post, servedApp } from '../../../kit/server/served_app.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

describe('a server of a model with several chat templates', () => {
  it('tells the one that the configuration names, and chats go by it', () =>
    withTempFolder(async (dir) => {
      await cp(join(moe7m(), 'tokenizer.json'), join(dir, 'tokenizer.json'));
      await mkdir(join(dir, 'additional_chat_templates'));
      await writeFile(join(dir, 'chat_template.jinja'), 'plain');
      await writeFile(join(dir, 'additional_chat_templates/rag.jinja'), 'Call me');
      const tokenizer = await loadTokenizer(dir);
      const told = async (chatTemplate: string | null): Promise<readonly unknown[]> => {
        const engine = new PlayedEngine(playText('x'), tokenizer);
        const { app } = await servedApp({ engine, base: { generate: { chat_template: chatTemplate } } });
        const info = await app.inject({ method: 'GET', url: '/tokenizer_info' });
        await post(app, '/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] });
        const [asked] = engine.requests;
        return [info.json<{ chat_template: string }>().chat_template, tokenizer!.decode([...asked!.promptTokenIds])];
      };
      expect(await told(null)).to.deep.equal(['plain', 'plain']);
      expect(await told('rag')).to.deep.equal(['Call me', 'Call me']);
    }));
});
