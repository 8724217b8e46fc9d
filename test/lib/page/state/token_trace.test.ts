import { expect } from 'chai';
import { runPrompt, type PromptRun } from '../../../../lib/page/state/completion.js';
import { TokenTrace } from '../../../../lib/page/state/token_trace.js';
import { tokenText } from '../../../../lib/page/state/token_text.js';

/** Experts of a token in two layers of two each. */
const row = (a: number, b: number): number[][] => [
  [a, 9],
  [b, 8],
];

/** A server that tokenizes to these names and streams these chunks. */
function played(names: readonly string[], chunks: readonly object[]): typeof fetch {
  return (path) => {
    if (path === 'tokenize')
      return Promise.resolve(Response.json({ tokens: names.map((_, i) => i), token_strs: names }));
    const frames = [...chunks.map((chunk) => JSON.stringify(chunk)), '[DONE]'].map((data) => `data: ${data}\n\n`);
    return Promise.resolve(new Response(frames.join('')));
  };
}

const choice = (text: string, rows: number[][][], finish: string | null = null, names = [text]): object => ({
  choices: [{ text, finish_reason: finish, routed_experts: rows, logprobs: { tokens: names } }],
});

async function run(names: readonly string[], chunks: readonly object[]): Promise<PromptRun> {
  const request = { model: 'm', prompt: 'p', maxTokens: 4, temperature: 0 };
  let last: PromptRun | undefined;
  for await (const each of runPrompt(request, { fetch: played(names, chunks), key: null })) last = each;
  return last!;
}

const firsts = ({ trace }: PromptRun): (number | undefined)[] => trace.tokens.map(({ experts }) => experts?.[0]?.[0]);

describe('tokens and their experts', () => {
  it('experts belong to the prompt first, then to each token when it was fed to the model', async () => {
    const done = await run(['A', 'Ġb'], [choice(' c', [row(1, 1), row(2, 2)]), choice(' d', [row(3, 3)], 'length')]);
    expect(done.trace.tokens.map(({ text }) => text)).to.deep.equal(['A', ' b', ' c', ' d']);
    expect(firsts(done)).to.deep.equal([1, 2, 3, undefined]);
    expect(done.finishReason).to.equal('length');
  });

  it('a prompt whose beginning is cached has experts from there on', async () => {
    expect(firsts(await run(['A', 'B', 'C'], [choice('d', [row(5, 5)])]))).to.deep.equal([
      undefined,
      undefined,
      5,
      undefined,
    ]);
  });

  it('several tokens of one chunk have the texts of their names', async () => {
    const done = await run(['A'], [choice(' b c', [row(1, 1), row(2, 2)], null, [' b', ' c'])]);
    expect(done.trace.tokens.map(({ text }) => text)).to.deep.equal(['A', ' b', ' c']);
    expect(firsts(done)).to.deep.equal([1, 2, undefined]);
  });

  it('a character of several tokens stands with the last of them', async () => {
    const names = ['bytes:\\xc3', 'bytes:\\xa9', '!'];
    const done = await run(['A'], [choice('é!', [row(1, 1), row(2, 2), row(3, 3)], null, names)]);
    expect(done.trace.tokens.map(({ text }) => text).join('')).to.equal('Aé!');
    expect(firsts(done)).to.deep.equal([1, 2, 3, undefined]);
  });

  it('text without a token goes on with the last one', async () => {
    const done = await run(['A'], [choice('b', []), choice('!', [], 'stop', [])]);
    expect(done.trace.tokens.map(({ text }) => text)).to.deep.equal(['A', 'b!']);
  });

  it('an error in the stream is told in the server’s words', async () => {
    const failing = run(['A'], [{ choices: [], error: { message: 'rank 1 was lost' } }]);
    expect(await failing.catch((error: unknown) => (error as Error).message)).to.equal('REFUSED: rank 1 was lost');
  });

  it('counts first choices by expert, and tokens that took one at all', () => {
    const trace = TokenTrace.ofPrompt(['a', 'b', 'c']).received({
      ...{ texts: ['d'], rest: '' },
      rows: [row(4, 0), row(2, 1), row(4, 2)],
    });
    expect(trace.firstChoices(0)).to.deep.equal([
      { expert: 4, numTokens: 2 },
      { expert: 2, numTokens: 1 },
    ]);
    expect(trace.numTaking({ layer: 0, expert: 9 })).to.equal(3);
    expect(trace.numTaking({ layer: 1, expert: 9 })).to.equal(0);
  });

  for (const [name, text] of [
    ['Ġthe', ' the'],
    ['Ċ', '\n'],
    ['â', '▫'],
    ['Ã©', 'é'],
    ['▁the', ' the'],
    ['<0x0A>', '▫'],
    ['中', '中'],
    ['<|end|>', '<|end|>'],
  ] as const) {
    it(`${name} reads ${JSON.stringify(text)}`, () => expect(tokenText(name)).to.equal(text));
  }
});
