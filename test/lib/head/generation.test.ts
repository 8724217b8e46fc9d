/** What a generation tells of tokens as they come, without a rank. */
import { expect } from 'chai';
import { loadConfig } from '../../../lib/config/load.js';
import { Generation } from '../../../lib/head/generation.js';
import { openModel } from '../../../lib/head/opened_model.js';
import type { ModelSpec } from '../../../lib/model/spec/spec.js';
import type { GenerationRequest, TokenEvent } from '../../../lib/protocol/request.js';
import type { SequenceOutput } from '../../../lib/protocol/step_plan.js';
import { outputPart, promptPart } from '../../kit/engine/local_job.js';
import { sentencePieceTokenizer } from '../../kit/model/tokenizers.js';
import { tinyModel } from '../../kit/paths.js';

/** Tokens of the tokenizer of these tests. */
const END = 2;
const BEGIN = 1;
const A = 260;
const B = 261;
const BYTE_1_OF_2 = 3 + 0xc3;
const BYTE_2_OF_2 = 3 + 0xa9; // é

const PROMPT = [A, B, A];

interface Run extends Partial<GenerationRequest> {
  readonly minTokens?: number;
}

describe('a generation', () => {
  let spec: ModelSpec;
  before(async () => {
    const opened = await openModel(await loadConfig({ base: { model: tinyModel('tiny-qwen3-moe') } }));
    spec = { ...opened.spec, eosTokenIds: [END] };
  });

  /** Its events, when these tokens are sampled one after the other. */
  async function eventsOf(tokens: readonly number[], { minTokens = 0, ...request }: Run = {}): Promise<TokenEvent[]> {
    const full = { promptTokenIds: PROMPT, maxNewTokens: 99, ...request };
    const generation = new Generation(full, { seed: 7, minTokens }, { spec, tokenizer: sentencePieceTokenizer() });
    generation.admit(2);
    generation.admit(0); // it gave way, and came again
    let isOver = false;
    for (const [i, tokenId] of tokens.entries()) {
      expect(isOver, 'nothing is sampled behind the end').to.equal(false);
      const position = PROMPT.length + i - 1;
      const own = i === 0 ? promptPart(0, PROMPT) : outputPart(0, tokens[i - 1]!, position);
      const part = { ...own, blocks: [] };
      const experts = { routedExperts: expertsOf(part.tokenIds.length, i) };
      const output: SequenceOutput = { sequence: 0, tokenId, ...(full.returnRoutedExperts === true && experts) };
      isOver = generation.take(part, output, 0) !== null;
    }
    if (!isOver) generation.fail(new Error('goes on'));
    const events: TokenEvent[] = [];
    try {
      for await (const event of generation.events) events.push(event);
    } catch (error) {
      expect((error as Error).message).to.equal('goes on');
    }
    return events;
  }

  /** Of every token of one step the same. */
  const expertsOf = (numTokens: number, step: number): Uint16Array =>
    new Uint16Array(numTokens * spec.layers.length * spec.moe.gate.numTopk).fill(step);

  const textOf = (events: readonly TokenEvent[]): string => events.map(({ text }) => text).join('');
  const endOf = (events: readonly TokenEvent[]): Extract<TokenEvent, { kind: 'finished' }> => {
    const last = events.at(-1)!;
    if (last.kind !== 'finished') throw new Error('it goes on');
    return last;
  };

  it('ends with the model’s end token, which is not named, and with a stop token, which is; neither is in the text', async () => {
    const byModel = await eventsOf([A, B, END]);
    expect(textOf(byModel)).to.equal('ab');
    expect(endOf(byModel)).to.include({ reason: 'stop', stoppedBy: null });
    const stopped = await eventsOf([A, A, B], { stopTokenIds: [B, 5] });
    expect(textOf(stopped)).to.equal('aa');
    expect(endOf(stopped)).to.include({ reason: 'stop', stoppedBy: B });
    expect(endOf(await eventsOf([A, END], { stopTokenIds: [END] })).stoppedBy).to.equal(null);
  });

  it('that ignores the model’s end tokens still ends with stop tokens, the same ones too', async () => {
    expect((await eventsOf([A, END, B], { ignoreEos: true })).map(({ kind }) => kind)).to.not.include('finished');
    const stopped = await eventsOf([A, END], { ignoreEos: true, stopTokenIds: [END] });
    expect(endOf(stopped)).to.include({ reason: 'stop', stoppedBy: END });
  });

  it('keeps what stops it in the text where it is included', async () => {
    expect(textOf(await eventsOf([A, B], { stopTokenIds: [B], includeStop: true }))).to.equal('ab');
    expect(textOf(await eventsOf([A, END], { includeStop: true }))).to.equal('a'); // it is a special token
    expect(textOf(await eventsOf([A, END], { includeStop: true, skipSpecialTokens: false }))).to.equal('a</s>');
    const byString = await eventsOf([A, A, B], { stop: ['ab'], includeStop: true });
    expect(textOf(byString)).to.equal('aab');
    expect(endOf(byString)).to.include({ reason: 'stop', stoppedBy: 'ab' });
  });

  it('ends before a stop string, and names it', async () => {
    const events = await eventsOf([A, A, B], { stop: ['b', 'ab'] });
    expect(textOf(events)).to.equal('a');
    expect(endOf(events)).to.include({ reason: 'stop', stoppedBy: 'ab' });
    expect(endOf(await eventsOf([B, A], { stop: ['a'], stopTokenIds: [A], includeStop: true })).stoppedBy).to.equal(
      'a',
    );
  });

  it('finds a stop string in what was held back at its end', async () => {
    // Half a character is never handed out before the end.
    const events = await eventsOf([A, BYTE_1_OF_2], { stop: ['\uFFFD'], maxNewTokens: 2 });
    expect(textOf(events)).to.equal('a');
    expect(endOf(events)).to.include({ reason: 'stop', stoppedBy: '\uFFFD' });
    const whole = await eventsOf([A, BYTE_1_OF_2, BYTE_2_OF_2], { maxNewTokens: 3 });
    expect(textOf(whole)).to.equal('aé');
    expect(endOf(whole)).to.include({ reason: 'length', stoppedBy: null });
  });

  it('takes no stop string that ends within the first min_tokens tokens, and one that begins there', async () => {
    const early = await eventsOf([A, B, B, A, B], { stop: ['ab'], minTokens: 2 });
    expect(textOf(early)).to.equal('abb');
    expect(endOf(early)).to.include({ reason: 'stop', stoppedBy: 'ab' });
    const across = await eventsOf([A, A, B], { stop: ['ab'], minTokens: 2 });
    expect(textOf(across)).to.equal('a');
    // Where no token is left, what was held back is text.
    const none = await eventsOf([A, A], { stop: ['ab', 'a'], minTokens: 2, maxNewTokens: 2 });
    expect(textOf(none)).to.equal('aa');
    expect(endOf(none)).to.include({ reason: 'length', stoppedBy: null });
  });

  it('leaves special tokens out of the text, or in', async () => {
    expect(textOf(await eventsOf([A, BEGIN, B], { maxNewTokens: 3 }))).to.equal('ab');
    const kept = await eventsOf([A, BEGIN, B], { maxNewTokens: 3, skipSpecialTokens: false });
    expect(textOf(kept)).to.equal('a<s>b');
  });

  it('tells the experts of the tokens that were fed since the last event, and of all at the end', async () => {
    const events = await eventsOf([A, B, A], { maxNewTokens: 3, returnRoutedExperts: true });
    const perEvent = events.map((event) => (event.kind === 'token' ? event.routedExperts!.map((t) => t[0]![0]) : []));
    expect(perEvent).to.deep.equal([[0, 0, 0], [1], [2], []]);
    expect(endOf(events).routedExperts!.map((t) => t[0]![0])).to.deep.equal([0, 0, 0, 1, 2]);
    for (const event of await eventsOf([A, END])) expect(event).to.include({ routedExperts: null });
  });

  it('tells how much of its prompt was in the cache when it first ran', async () => {
    expect(endOf(await eventsOf([END]))).to.include({ numCachedTokens: 2, seed: 7 });
  });
});
