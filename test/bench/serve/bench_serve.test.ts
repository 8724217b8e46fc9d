import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { benchServe } from '../../../bench/serve/bench_serve.js';
import { ServeBenchError } from '../../../bench/serve/load/errors.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';
import { promptLength, withPlayedServer, type Asked, type Part } from '../../kit/serve/played_server.js';
import { withTempFolder } from '../../kit/temp_folder.js';

interface Printed {
  readonly [name: string]: unknown;
  readonly completed: number;
  readonly failed: number;
  readonly failures: readonly { readonly kind: string; readonly reason: string; readonly count: number }[];
  readonly total_output_tokens: number;
  readonly requests: readonly {
    readonly input_tokens: number;
    readonly planned_ms: number;
    readonly start_ms: number;
  }[];
}

/** Runs the command with --json, and gives what it printed and wrote. */
async function measured(
  url: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ text: string; json: Printed }> {
  return withTempFolder(async (dir) => {
    const file = join(dir, 'figures.json');
    const context = { ...commandContext(), env };
    await benchServe(['--url', url, '--json', file, '--detailed', ...args], context);
    return { text: context.printed(), json: JSON.parse(await readFile(file, 'utf8')) as Printed };
  });
}

const tokensOf = ({ body }: Asked): number => (body.max_tokens ?? body.max_completion_tokens) as number;
/** As many chunks as tokens were asked for. */
const obliging = (asked: Asked): Part => ({ kind: 'stream', chunks: new Array<string>(tokensOf(asked)).fill('x') });
/** Those after the warm-up. */
const measuredOf = (asked: readonly Asked[]): readonly Asked[] => asked.slice(1);

describe('expertwire bench serve', () => {
  it('sends every prompt once, counts by usage, and prints formulae, machine and seed', async () => {
    await withPlayedServer(obliging, async ({ url, asked }) => {
      const { text, json } = await measured(`${url}/v1/`, ['--num-prompts', '7', '--input-len', '9', '--output-len', '4', '--seed', '3'], { OPENAI_API_KEY: 'secret' }); // prettier-ignore
      expect([json.completed, json.failed, json.total_output_tokens]).to.deep.equal([7, 0, 28]);
      expect(json.total_input_tokens).to.equal(63);
      expect(measuredOf(asked).map(promptLength)).to.deep.equal(new Array(7).fill(9));
      expect(new Set(asked.map(({ authorization }) => authorization))).to.deep.equal(new Set(['Bearer secret']));
      expect(json.max_concurrent_requests).to.be.within(1, 7);
      for (const name of ['mean_ttft_ms', 'median_itl_ms', 'p99_tpot_ms', 'std_e2el_ms', 'request_throughput'])
        expect(json[name]).to.be.a('number').that.is.at.least(0);
      for (const part of [
        'cores',
        'seed 3',
        'played at http://',
        'ttft =',
        'arrivals: all at once',
        'event loop late by',
      ])
        expect(text).to.include(part);
      expect(text + JSON.stringify(json)).to.not.include('secret');
    });
  });

  it('failed requests are told by reason, and are in no other figure', async () => {
    const play = (asked: Asked, index: number): Part =>
      index % 3 === 1
        ? { kind: 'status', status: 429, message: 'full' }
        : index % 3 === 2
          ? { kind: 'cut', after: 1 }
          : obliging(asked);
    await withPlayedServer(play, async ({ url }) => {
      const { text, json } = await measured(url, ['--num-prompts', '9', '--output-len', '2', '--goodput', 'e2el:600000', '--max-concurrency', '1']); // prettier-ignore
      expect([json.completed, json.failed, json.total_output_tokens]).to.deep.equal([3, 6, 6]);
      expect(json.failures.map(({ kind, count }) => [kind, count])).to.deep.equal([['http', 3], ['cut', 3]]); // prettier-ignore
      expect((json.request_goodput as number) / (json.request_throughput as number)).to.be.closeTo(1, 1e-9);
      expect(text).to.include('3 × http: 429 full');
    });
  });

  it('--max-concurrency holds requests back, and a rate spaces them out as its seed says', async () => {
    const slow = (asked: Asked): Part => ({ ...obliging(asked), gapMs: 20 }) as Part;
    await withPlayedServer(slow, async ({ url, peak }) => {
      const { json } = await measured(url, ['--num-prompts', '12', '--output-len', '2', '--max-concurrency', '3']);
      expect([json.completed, peak(), json.max_concurrent_requests]).to.deep.equal([12, 3, 3]);
    });
    await withPlayedServer(obliging, async ({ url }) => {
      const args = ['--num-prompts', '10', '--output-len', '1', '--request-rate', '50', '--burstiness', '2'];
      const [first, again] = [await measured(url, args), await measured(url, args)];
      const planned = ({ json }: typeof first): number[] => json.requests.map(({ planned_ms }) => planned_ms);
      expect(planned(first)).to.deep.equal(planned(again));
      expect(planned(first).at(-1)).to.be.closeTo(200, 1e-6);
      for (const { planned_ms, start_ms } of first.json.requests) expect(start_ms).to.be.at.least(planned_ms - 1.5);
    });
  });

  it('turns carry the server’s own answers: as token ids where it tells them, and the ideal stands beside what it cached', async () => {
    const blocks = (tokens: number): number => Math.floor(tokens / 4) * 4;
    let before = 0;
    const play = (asked: Asked): Part => {
      const length = promptLength(asked);
      const cached = length > 10 ? blocks(Math.min(before, length - 1)) : 0;
      before = length + tokensOf(asked) - 1;
      const count = tokensOf(asked);
      const tokenIds = Array.from({ length: count }, (_, i) => [900 + i]);
      return {
        kind: 'stream',
        chunks: new Array<string>(count).fill('x'),
        usage: { completion: count, cached },
        tokenIds,
      };
    };
    await withPlayedServer(play, async ({ url, asked }) => {
      const args = [
        '--dataset',
        'turns',
        '--num-prompts',
        '2',
        '--num-turns',
        '3',
        '--input-len',
        '10',
        '--output-len',
        '5',
      ];
      const { text, json } = await measured(url, [...args, '--max-concurrency', '1', '--block-size', '4']);
      expect(json.completed).to.equal(6);
      const prompts = measuredOf(asked).map(({ body }) => body.prompt as number[]);
      expect(prompts.map((ids) => ids.length)).to.deep.equal([10, 25, 40, 10, 25, 40]);
      expect(prompts[1]!.slice(0, 15)).to.deep.equal([...prompts[0]!, 900, 901, 902, 903, 904]);
      expect(prompts[2]!.slice(0, 25)).to.deep.equal(prompts[1]);
      const total = 2 * (10 + 25 + 40);
      expect(json.cached_tokens).to.deep.equal({ cachedTokens: 2 * (12 + 28), promptTokens: total });
      expect(json.ideal_cached_tokens).to.deep.equal({ ofPrompts: 2 * (8 + 24), ofAnswers: 2 * (12 + 28), promptTokens: total }); // prettier-ignore
      expect(text).to.match(
        /cached: 53\.33 % of 150 prompt tokens\nideal: {2}42\.67 % from earlier prompts, 53\.33 % from answers too/,
      );
    });
  });

  it('turns of a chat, or of a server without token ids, carry answers as text', async () => {
    for (const [endpoint, warmUps] of [
      ['chat', 1],
      ['completions', 2],
    ] as const) {
      await withPlayedServer(
        obliging,
        async ({ url, asked }) => {
          const args = [
            '--dataset',
            'turns',
            '--num-prompts',
            '1',
            '--num-turns',
            '2',
            '--input-len',
            '8',
            '--output-len',
            '2',
          ];
          const { text, json } = await measured(url, ['--endpoint', endpoint, ...args]);
          expect(json.completed).to.equal(2);
          const [first, second] = asked.slice(warmUps).map(({ body }) => body);
          if (endpoint === 'completions') expect((second!.prompt as string).startsWith(`${first!.prompt as string}xx`)).to.equal(true); // prettier-ignore
          else expect((second!.messages as { role: string }[]).map(({ role }) => role)).to.deep.equal(['user', 'assistant', 'user']); // prettier-ignore
          expect(text).to.include('2.00 tokens per word as the server counts');
        },
        { tokensPerWord: 2 },
      );
    }
  });

  it('a conversation whose answer fails ends there: what follows would answer nothing', async () => {
    const play = (asked: Asked, index: number): Part => (index === 2 ? { kind: 'cut', after: 1 } : obliging(asked));
    await withPlayedServer(play, async ({ url }) => {
      const args = ['--dataset', 'turns', '--prompts', 'text', '--num-prompts', '1', '--num-turns', '4'];
      const { json } = await measured(url, args);
      expect([json.completed, json.failed]).to.deep.equal([1, 1]);
    });
  });

  it('lengths are cut to the context that the server tells, and the report says so', async () => {
    await withPlayedServer(
      obliging,
      async ({ url, asked }) => {
        const { text } = await measured(url, ['--num-prompts', '2', '--input-len', '100', '--output-len', '10']);
        expect(measuredOf(asked).map(promptLength)).to.deep.equal([54, 54]);
        expect(text).to.include("2 of 2 requests cut to the server's context of 64 tokens");
      },
      { maxModelLen: 64 },
    );
  });

  it('--plot draws latencies and a timeline', async () => {
    await withPlayedServer(obliging, async ({ url }) => {
      await withTempFolder(async (dir) => {
        const file = join(dir, 'load.html');
        await benchServe(['--url', url, '--num-prompts', '5', '--output-len', '3', '--plot', file], commandContext());
        const page = await readFile(file, 'utf8');
        for (const part of [
          'TTFT and E2EL: share of values up to',
          'Requests in the order of sending',
          'Output tokens/s',
          'vegalite',
        ]) {
          expect(page).to.include(part);
        }
      });
    });
  });

  it('Ctrl-C ends the load at once, and nothing is told of half of it', async () => {
    const abort = new AbortController();
    const play = (asked: Asked, index: number): Part => {
      if (index === 0) return obliging(asked);
      abort.abort();
      return { kind: 'hang' };
    };
    await withPlayedServer(play, async ({ url }) => {
      const context = commandContext(abort.signal);
      const thrown = await errorOf(Error, () => benchServe(['--url', url, '--num-prompts', '3'], context));
      expect([thrown.name, context.printed()]).to.deep.equal(['AbortError', '']);
    });
  });

  it('what keeps a load from being measured is an error with advice, not a figure', async () => {
    const code = async (play: (asked: Asked) => Part, ...args: readonly string[]): Promise<string> =>
      withPlayedServer(play, async ({ url }) => (await errorOf(ServeBenchError, () => measured(url, args))).message);
    const full = (): Part => ({ kind: 'status', status: 400, message: 'no such field' });
    expect(await code(full)).to.match(/^PROBE_FAILED: the first request failed \(http: 400 no such field\); /);
    expect(await code(obliging, '--model', 'other')).to.match(/^NO_SERVER: .* has no model 'other'; it has played/);
    const gone = await withPlayedServer(obliging, ({ url }) => Promise.resolve(url));
    const error = await errorOf(ServeBenchError, () => measured(gone, []));
    expect(error.message).to.match(/^NO_SERVER: .*ECONNREFUSED.*; start a server/);
  });

  it('refuses options that make no sense, before anything is asked', async () => {
    const wrong = [
      ['--url', 'ftp://x'],
      ['--request-rate', '0'],
      ['--request-rate', 'fast'],
      ['--burstiness', '-1'],
      ['--num-prompts', '0'],
      ['--range-ratio', '1'],
      ['--dataset', 'trace'],
      ['--dataset', 'poems'],
      ['--goodput', 'itl:3'],
      ['--goodput', 'ttft'],
      ['--percentile-metrics', 'ttft,x'],
      ['--metric-percentiles', '101'],
      ['--extra-body', '[1]'],
      ['--plot', 'load.pdf'],
      ['--detailed'],
      ['--prompts', 'tokens', '--endpoint', 'chat'],
      ['--vocab-size', '3'],
      ['--frobnicate'],
    ];
    for (const args of wrong) await errorOf(UsageError, () => benchServe(args, commandContext()));
  });
});
