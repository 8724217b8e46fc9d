import type { ExpertwireConfig } from '../../../config/schema.js';
import type { Engine } from '../../../head/engine.js';
import { EngineError } from '../../../protocol/errors.js';
import { chatSettingsOf, type ChatMessage } from '../../../tokenizer/chat_template.js';
import type { Tokenizer } from '../../../tokenizer/tokenizer.js';
import { requestOf } from '../../../head/config_request.js';
import type { AnswerNews, AnswerSource } from './answer.js';
import { isThinkingBegun, ThinkingSplitter, thinkingStyleOf } from './thinking.js';
import { mostTokensOf } from '../../../protocol/limits.js';

/** An engine of one's own answers, by the model's chat template. */
export class EngineSource implements AnswerSource {
  readonly noExperts = null;
  private numAnswers = 0;

  constructor(
    private readonly engine: Pick<Engine, 'generate' | 'limits' | 'failure'>,
    private readonly tokenizer: Tokenizer,
    private readonly config: ExpertwireConfig,
  ) {}

  get failure(): Error | null {
    return this.engine.failure;
  }

  /** @throws TokenizerError TEMPLATE_FAILED, NOT_ENCODABLE; EngineError CONTEXT_LENGTH_EXCEEDED, and whatever ended the engine */
  async *answer(messages: readonly ChatMessage[], signal: AbortSignal): AsyncGenerator<AnswerNews, void, undefined> {
    const settings = chatSettingsOf(this.config.generate);
    const prompt = this.tokenizer.renderChat(messages, settings);
    const style = thinkingStyleOf(this.tokenizer.chatTemplates.sourceOf(settings));
    const splitter = new ThinkingSplitter(style, isThinkingBegun(prompt));
    const request = this.requestFor(prompt, !style.isSpecial);
    let reason: string | null = null;
    try {
      for await (const event of this.engine.generate(request, signal)) {
        yield* splitter.push(event.text);
        if (event.kind === 'token')
          yield { kind: 'routed', routed: { texts: [event.text], rows: event.routedExperts ?? [] } };
        else if (event.kind === 'finished') {
          yield { kind: 'routed', routed: { texts: [event.text], rows: [] } };
          ({ reason } = event);
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    yield* splitter.end();
    yield { kind: 'finished', reason };
  }

  private requestFor(prompt: string, skipSpecialTokens: boolean): Parameters<Engine['generate']>[0] {
    const tokenIds = this.tokenizer.encode(prompt, { addSpecialTokens: false });
    const asked = requestOf(this.config, { tokenIds }, this.numAnswers++, {
      returnRoutedExperts: true,
    });
    const most = mostTokensOf(this.engine.limits);
    const room = most - tokenIds.length;
    if (room < 1) {
      const what = `the conversation has ${tokenIds.length} tokens, and there is room for ${most} with the answer`;
      throw new EngineError('CONTEXT_LENGTH_EXCEEDED', `${what}; /reset forgets it`);
    }
    return { ...asked, maxNewTokens: Math.min(asked.maxNewTokens, room), skipSpecialTokens };
  }
}
