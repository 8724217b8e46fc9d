import { expect } from 'chai';
import { rowOf, RowTally, type LineAnswer } from '../../../lib/batches/rows.js';

const answer = (status: number, body: unknown): { readonly kind: 'answered'; readonly answer: LineAnswer } => ({
  kind: 'answered',
  answer: { status, requestId: 'r1', body, retryAfterMs: null },
});

describe('rows of a batch', () => {
  it('an answer is a row of the output, as OpenAI writes it', () => {
    const row = rowOf('batch_req_1', 'a', answer(200, { id: 'cmpl-1' }));
    expect(row.isSuccess).to.equal(true);
    expect(JSON.parse(row.text)).to.deep.equal({
      id: 'batch_req_1',
      custom_id: 'a',
      response: { status_code: 200, request_id: 'r1', body: { id: 'cmpl-1' } },
      error: null,
    });
    expect(row.text.endsWith('}\n')).to.equal(true);
  });

  it('a refusal is a row of the errors, with what the server said', () => {
    const row = rowOf('batch_req_1', 'a', answer(400, { error: { code: 'invalid_value' } }));
    expect(row.isSuccess).to.equal(false);
    expect(JSON.parse(row.text)).to.deep.include({
      response: { status_code: 400, request_id: 'r1', body: { error: { code: 'invalid_value' } } },
      error: null,
    });
  });

  it('a line that nobody answered is a row of the errors, with why', () => {
    const row = rowOf('batch_req_1', 'a', { kind: 'unanswered', code: 'batch_expired', message: 'too late' });
    expect(row.isSuccess).to.equal(false);
    expect(JSON.parse(row.text)).to.deep.include({
      response: null,
      error: { code: 'batch_expired', message: 'too late' },
    });
  });
});

describe('the tally of a batch', () => {
  it('counts each line once, and sums tokens of completions and responses', () => {
    const tally = new RowTally();
    const completion = {
      usage: { prompt_tokens: 3, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1 } },
    };
    const response = { usage: { input_tokens: 5, output_tokens: 7, input_tokens_details: { cached_tokens: 4 } } };
    const rows = [
      rowOf('1', 'a', answer(200, completion)),
      rowOf('2', 'b', answer(200, response)),
      rowOf('3', 'c', answer(400, { error: {} })),
      rowOf('4', 'd', { kind: 'unanswered', code: 'batch_cancelled', message: '' }),
      rowOf('5', 'e', answer(200, 'no JSON')),
    ];
    expect(rows.map(({ text, isSuccess }) => tally.add(text, isSuccess))).to.deep.equal(rows.map(() => true));
    expect(tally.add(rows[0]!.text, true)).to.equal(false);
    expect(tally.add('{"custom_id": "to', true)).to.equal(false);
    expect([tally.numCompleted, tally.numFailed, [...tally.customIds].join('')]).to.deep.equal([3, 2, 'abcde']);
    expect(tally.usage).to.deep.equal({
      input_tokens: 8,
      input_tokens_details: { cached_tokens: 5 },
      output_tokens: 9,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 17,
    });
  });
});
