import { expect } from 'chai';
import { serveOptions } from '../../../../bench/experiment/serving/played_load.js';
import { loadSchema, type LoadSettings } from '../../../../lib/experiment/measures/load.js';

describe('a load of an experiment', () => {
  const load = (given: Record<string, unknown>): LoadSettings => loadSchema().parse(given);
  const defaults = { seed: 3, vocabSize: 77 };

  it('is that of bench serve with the same options, and its defaults', async () => {
    const { parseOptions } = await import('../../../../bench/serve/options.js');
    const { extraBody, ...options } = serveOptions(load({ seed: 1, vocab_size: 1024 }), null, defaults);
    const { extraBody: none, ...usual } = parseOptions(['--url', 'http://127.0.0.1']);
    expect(options).to.deep.equal(usual);
    expect([extraBody, none]).to.deep.equal([{ return_token_ids: true }, {}]);
  });

  it('has the seed of its run and the vocabulary of its model where it says none', () => {
    expect(serveOptions(load({}), null, defaults)).to.include({ seed: 3, vocabSize: 77 });
  });

  it('hands over what it says, and the targets', () => {
    const given = { dataset: 'turns', num_prompts: 5, request_rate: 2.5, max_concurrency: 3, ignore_eos: false };
    const options = serveOptions(
      load({ ...given, extra_body: { priority: 1 } }),
      { ttft_ms: 100, tpot_ms: 20 },
      defaults,
    );
    expect(options).to.include({ numPrompts: 5, maxConcurrency: 3, ignoreEos: false });
    expect(options.isRateGiven).to.equal(true);
    expect(options.arrivals).to.deep.equal({ requestRate: 2.5, burstiness: 1, seed: 3 });
    expect(options.dataset).to.include({ kind: 'turns', numTurns: 4 });
    expect(options.targets).to.deep.equal({ ttft: 100, tpot: 20 });
    expect(options.extraBody).to.deep.equal({ return_token_ids: true, priority: 1 });
  });
});
