import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { DatasetSetting } from '../../../bench/serve/datasets/dataset.js';
import { makeDataset } from '../../../bench/serve/datasets/make_dataset.js';
import { promptAfter, type Conversation, type Prompt } from '../../../bench/serve/load/conversation.js';
import { ServeBenchError } from '../../../bench/serve/load/errors.js';
import { FIRST_TOKEN, tokenPrompts, wordPrompts } from '../../../bench/serve/load/prompt_maker.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const setting = (numPrompts: number, maxModelLen = Infinity, seed = 1): DatasetSetting => ({
  ...{ numPrompts, seed, maxModelLen, make: tokenPrompts(seed, 500) },
});

const idsOf = (prompt: Prompt): number[] => {
  if (prompt.kind !== 'tokens') throw new Error('no tokens');
  return [...prompt.tokenIds];
};
const firstIds = ({ turns }: Conversation): number[] => idsOf(turns[0]!.said);
const lengthsOf = (conversations: readonly Conversation[]): [number, number][] =>
  conversations.map((conversation) => [firstIds(conversation).length, conversation.turns[0]!.maxTokens]);

/** The tokens that both begin with. */
function numShared(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((id, i) => id !== b[i]);
  return at < 0 ? a.length : at;
}

describe('datasets of bench serve', () => {
  const lengths = { inputLen: 20, outputLen: 6, rangeRatio: 0.5 };

  it('random: lengths as drawn, ids of the vocabulary, nothing shared, the same for the same seed', async () => {
    const of = async (seed: number) =>
      (await makeDataset({ kind: 'random', ...lengths }, setting(50, Infinity, seed))).conversations;
    const conversations = await of(1);
    const all = conversations.map(firstIds);
    expect(all.flat().every((id) => id >= FIRST_TOKEN && id < 500)).to.equal(true);
    for (const [input, output] of lengthsOf(conversations)) {
      expect(input).to.be.within(10, 30);
      expect(output).to.be.within(3, 9);
    }
    expect(new Set(all.map((ids) => ids.slice(0, 5).join())).size).to.equal(50);
    expect(await of(1)).to.deep.equal(conversations);
    expect(await of(2)).to.not.deep.equal(conversations);
  });

  it('a context cuts prompts, not answers, down to half of it, and the report says how many', async () => {
    const random = { kind: 'random', inputLen: 100, outputLen: 30, rangeRatio: 0 } as const;
    const { conversations, notes } = await makeDataset(random, setting(3, 80));
    expect(lengthsOf(conversations)).to.deep.equal([[50, 30], [50, 30], [50, 30]]); // prettier-ignore
    expect(notes.at(-1)).to.equal("3 of 3 requests cut to the server's context of 80 tokens");
    const long = await makeDataset({ ...random, outputLen: 90 }, setting(1, 80));
    expect(lengthsOf(long.conversations)).to.deep.equal([[40, 40]]);
  });

  it('prefix: each prefix begins as many prompts, in a drawn order, and nothing else is shared', async () => {
    const choice = {
      kind: 'prefix',
      numPrefixes: 3,
      prefixLen: 32,
      suffixLen: 8,
      outputLen: 4,
      rangeRatio: 0,
    } as const;
    const { conversations } = await makeDataset(choice, setting(30));
    const all = conversations.map(firstIds);
    const groups = groupsOf(all);
    expect([...groups.values()].map((group) => group.length)).to.deep.equal([10, 10, 10]);
    for (const group of groups.values()) {
      for (const other of group.slice(1)) expect(numShared(group[0]!, other)).to.be.within(32, 34);
    }
    const names = [...groups.keys()];
    const order = all.map((ids) => names.indexOf(ids.slice(0, 32).join()));
    expect(order).to.not.deep.equal(order.map((_, i) => order[i % 3]));
  });

  it('turns: as many per conversation as the context takes; each goes on from all before it', async () => {
    const choice = { kind: 'turns', numTurns: 4, inputLen: 10, outputLen: 5, rangeRatio: 0, thinkMs: 100 } as const;
    const { conversations, notes } = await makeDataset(choice, setting(200, 50));
    expect(new Set(conversations.map(({ turns }) => turns.length))).to.deep.equal(new Set([3]));
    expect(notes.at(-1)).to.equal("200 of 800 turns left out: beyond the server's context of 50 tokens");
    const thoughts = conversations.flatMap(({ turns }) => turns.slice(1).map(({ thinkMs }) => thinkMs));
    expect(conversations.every(({ turns }) => turns[0]!.thinkMs === 0)).to.equal(true);
    expect(thoughts.reduce((a, b) => a + b, 0) / thoughts.length).to.be.closeTo(100, 15);
    const [first, second] = conversations[0]!.turns;
    const next = promptAfter(first!.said, { text: 'x', tokenIds: [7, 8] }, second!.said);
    expect(idsOf(next!)).to.deep.equal([...idsOf(first!.said), 7, 8, ...idsOf(second!.said)]);
    expect(promptAfter(first!.said, { text: 'x', tokenIds: null }, second!.said)).to.equal(null);
  });

  it('turns of texts and messages: the answer stands between what was said', () => {
    const answer = { text: 'yes', tokenIds: null };
    expect(promptAfter({ kind: 'text', text: 'a ' }, answer, { kind: 'text', text: ' b' })).to.deep.equal({
      kind: 'text',
      text: 'a yes b',
    });
    const said = (content: string): Prompt => ({ kind: 'messages', messages: [{ role: 'user', content }] });
    expect(promptAfter(said('a'), answer, said('b'))).to.deep.equal({
      kind: 'messages',
      messages: [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'yes' },
        { role: 'user', content: 'b' },
      ],
    });
  });

  it('words: as many as make the tokens that were asked for, the same for the same stream', () => {
    const make = wordPrompts(1, 2, 'text');
    const prompt = make([{ stream: 1, numTokens: 20 }, { stream: 2, numTokens: 10 }]); // prettier-ignore
    expect(prompt.kind === 'text' && prompt.text.trim().split(' ').length).to.equal(15);
    const same = make([{ stream: 1, numTokens: 8 }]);
    expect(prompt.kind === 'text' && same.kind === 'text' && prompt.text.startsWith(same.text.trim())).to.equal(true);
  });
});

const groupsOf = (all: readonly number[][]): Map<string, number[][]> => {
  const groups = new Map<string, number[][]>();
  for (const ids of all) {
    const key = ids.slice(0, 32).join();
    groups.set(key, [...(groups.get(key) ?? []), ids]);
  }
  return groups;
};

describe('traces of bench serve', () => {
  const AZURE = [
    'TIMESTAMP,ContextTokens,GeneratedTokens',
    '2023-11-16 18:17:03.9799600,4808,10',
    '2023-11-16 18:17:04.0319600,3180,8',
    '2023-11-16 18:17:05.0781490,110,0',
  ];
  const MOONCAKE = [
    { timestamp: 1000, input_length: 1100, output_length: 50, hash_ids: [0, 1, 2] },
    { timestamp: 1000, input_length: 1536, output_length: 20, hash_ids: [0, 1, 3] },
    { timestamp: 4000, input_length: 700, output_length: 4, hash_ids: [9, 1] },
  ].map((row) => JSON.stringify(row));
  const choice = (file: string, scale = 1, timeScale = 1) => ({ kind: 'trace', file, scale, timeScale }) as const;

  it("Azure's CSV: times to the microsecond from the first request, lengths by one factor", async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'azure.csv');
      await writeFile(file, AZURE.join('\r\n'));
      const { conversations, notes } = await makeDataset(choice(file, 0.1, 2), setting(10));
      expect(lengthsOf(conversations)).to.deep.equal([[481, 1], [318, 1], [11, 1]]); // prettier-ignore
      const times = conversations.map(({ atMs }) => atMs!);
      for (const [i, ms] of [0, 104, 2196.378].entries()) expect(times[i]).to.be.closeTo(ms, 1e-3);
      expect(notes[0]).to.include('the first 3 requests').and.include('lengths × 0.1, times × 2');
    });
  });

  it("Mooncake's JSON lines: prompts share what their hash ids share, scaled with the lengths", async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'mooncake.jsonl.gz');
      await writeFile(file, gzipSync(`${MOONCAKE.join('\n')}\n\n`));
      const { conversations } = await makeDataset(choice(file, 1 / 8), setting(3));
      expect(lengthsOf(conversations)).to.deep.equal([[138, 6], [192, 3], [88, 1]]); // prettier-ignore
      expect(conversations.map(({ atMs }) => atMs)).to.deep.equal([0, 0, 3000]);
      const [a, b, c] = conversations.map(firstIds) as [number[], number[], number[]];
      expect(numShared(a, b)).to.be.within(128, 129); // two blocks of 64
      expect(numShared(a, c)).to.be.below(3);
      expect(c.slice(64)).to.deep.equal(a.slice(64, 88)); // block 1 is block 1, wherever it stands
      const fewer = await makeDataset(choice(file), setting(1));
      expect(lengthsOf(fewer.conversations)).to.deep.equal([[1100, 50]]);
    });
  });

  it('files that are no trace are refused with the line and what is wanted', async () => {
    await withTempFolder(async (dir) => {
      const cases: [string, RegExp][] = [
        ['a,b\n1,2', /begins with "a,b"; give a CSV file with TIMESTAMP/],
        [`${AZURE[0]!}\n2023-11-16 18:17:03,many,1`, /line 2 of .*many.*; give TIMESTAMP/],
        [`${AZURE[0]!}\n"`, /line 2 of/],
        [`${MOONCAKE[0]!}\n{"timestamp": 1}`, /line 2 of .*; give \{"timestamp", "input_length"/],
        [`${MOONCAKE[0]!}\n{`, /line 2 of/],
        [AZURE[0]!, /has no requests/],
        ['', /begins with ""/],
      ];
      const file = join(dir, 'trace');
      for (const [text, message] of cases) {
        await writeFile(file, text);
        const error = await errorOf(ServeBenchError, () => makeDataset(choice(file), setting(10)));
        expect([error.code, error.message]).to.satisfy(([code, told]: [string, string]) => code === 'BAD_DATASET' && message.test(told)); // prettier-ignore
      }
      await writeFile(`${file}.gz`, 'no gzip');
      for (const path of [`${file}.gz`, join(dir, 'none')]) {
        const error = await errorOf(ServeBenchError, () => makeDataset(choice(path), setting(10)));
        expect(error.message).to.match(/can't be read/);
      }
    });
  });

  it('file: prompts as text, token ids or messages, ShareGPT’s form, and what each endpoint takes of them', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'prompts.jsonl');
      const rows = [
        { prompt: 'one two', output_tokens: 3 },
        { prompt: [5, 6] },
        { messages: [{ role: 'user', content: 'hi' }] },
      ];
      const of = (endpoint: 'completions' | 'chat', path = file) => makeDataset({ kind: 'file', file: path, endpoint, outputLen: 9 }, setting(5)); // prettier-ignore
      const write = (...which: readonly number[]) =>
        writeFile(file, which.map((i) => JSON.stringify(rows[i])).join('\n'));
      await write(0, 1);
      const completions = (await of('completions')).conversations.map(({ turns }) => turns[0]!);
      expect(completions.map(({ maxTokens }) => maxTokens)).to.deep.equal([3, 9]);
      expect(completions.map(({ said }) => said)).to.deep.equal([{ kind: 'text', text: 'one two' }, { kind: 'tokens', tokenIds: Int32Array.of(5, 6) }]); // prettier-ignore
      expect((await errorOf(ServeBenchError, () => of('chat'))).message).to.match(
        /line 2 of .*give \{"prompt": text\} or/,
      );
      await write(0, 2);
      expect((await of('chat')).conversations.map(({ turns }) => turns[0]!.said)).to.deep.equal([
        { kind: 'messages', messages: [{ role: 'user', content: 'one two' }] },
        { kind: 'messages', messages: [{ role: 'user', content: 'hi' }] },
      ]);
      expect((await errorOf(ServeBenchError, () => of('completions'))).message).to.match(/line 2 of/);
      const shared = join(dir, 'shared.json');
      const talk = (from: string) => ({
        id: 'x',
        conversations: [
          { from, value: 'hello' },
          { from: 'gpt', value: 'oh' },
        ],
      });
      await writeFile(shared, JSON.stringify([talk('human'), talk('system'), talk('human')]));
      expect((await of('completions', shared)).conversations).to.have.length(2);
      await writeFile(shared, '[{"a": 1}]');
      expect((await errorOf(ServeBenchError, () => of('chat', shared))).message).to.match(/no list of/);
    });
  });
});
