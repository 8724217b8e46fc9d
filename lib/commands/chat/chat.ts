/** `expertwire chat` with an engine of one's own. */
import type { ExpertwireConfig } from '../../config/schema.js';
import { openModel } from '../../head/opened_model.js';
import { modelNameOf } from '../../hub/cache/model_name.js';
import { chatSettingsOf } from '../../tokenizer/chat_template.js';
import type { Tokenizer } from '../../tokenizer/tokenizer.js';
import { UsageError, type CommandContext } from '../base/context.js';
import type { EngineStart } from '../engine/engine_start.js';
import { withEngine } from '../engine/with_engine.js';
import type { ChatArgs } from './chat_options.js';
import { ChatTerminal } from './chat_terminal.js';
import { EngineSource } from './answers/engine_source.js';
import { firstConversation, talk } from './talk.js';

/** @throws UsageError, ChatError, EngineError; what opening a model throws */
export async function chat(args: ChatArgs, start: EngineStart, context: CommandContext): Promise<void> {
  const { config } = start;
  const conversation = await firstConversation(args, config.generate.system);
  const model = await openModel(config);
  const tokenizer = chatTokenizer(model.tokenizer, config);
  const input = new ChatTerminal(context);
  const told = { ...context, stderr: input.stderr };
  await withEngine(args, start, model, told, async (engine, terminal) => {
    void engine.closed.then((error) => input.fail(error));
    const source = new EngineSource(engine, tokenizer, config);
    await talk({ source, input, terminal, conversation, model: modelNameOf(config.model) }, args, context);
  });
}

/** @throws UsageError; TokenizerError NO_CHAT_TEMPLATE: before ranks load what nobody can talk to */
function chatTokenizer(tokenizer: Tokenizer | undefined, { model, generate }: ExpertwireConfig): Tokenizer {
  if (tokenizer === undefined) {
    throw new UsageError(
      `${model} has no tokenizer, and a chat is text; give a model with one, or use generate --prompt-ids`,
    );
  }
  tokenizer.chatTemplates.sourceOf(chatSettingsOf(generate));
  return tokenizer;
}
