import { expect } from 'chai';
import { BatchCheck, readBatchLine, type BatchLine, type LineProblem } from '../../../lib/batches/batch_line.js';

const LINE = { custom_id: 'a', method: 'POST', url: '/v1/completions', body: { prompt: 'x' } };
const json = (fields: object): string => JSON.stringify({ ...LINE, ...fields });

const problemOf = (text: string): LineProblem | undefined => {
  const line = readBatchLine(text, 7, '/v1/completions');
  return 'problem' in line ? line.problem : undefined;
};

describe('a line of a batch', () => {
  it('is read as OpenAI writes it', () => {
    const line: BatchLine = { customId: 'a', url: '/v1/completions', body: { prompt: 'x' } };
    expect(readBatchLine(json({}), 1, '/v1/completions')).to.deep.equal(line);
    expect(readBatchLine(json({}), 1, null)).to.deep.equal(line);
  });

  const wrong: readonly (readonly [string, string, string, string | null, RegExp])[] = [
    ['no JSON', '{', 'invalid_json_line', null, /line 7 is no JSON object; write one/],
    ['no object', '[1]', 'invalid_json_line', null, /line 7 is no JSON object/],
    ['no custom_id', json({ custom_id: null }), 'missing_required_parameter', 'custom_id', /custom_id is missing/],
    ['no body', json({ body: undefined }), 'missing_required_parameter', 'body', /body is missing in line 7; give one/],
    ['a number as custom_id', json({ custom_id: 5 }), 'invalid_value', 'custom_id', /custom_id is 5 .*give a text/],
    ['an endless custom_id', json({ custom_id: 'x'.repeat(513) }), 'invalid_value', 'custom_id', /1 to 512/],
    ['another method', json({ method: 'GET' }), 'invalid_method', 'method', /method is "GET" .*give POST/],
    ['another address', json({ url: '/experts/load' }), 'invalid_url', 'url', /url is "\/experts\/load" .*give one of/],
    ['an address elsewhere', json({ url: 'http://10.0.0.1/v1/completions' }), 'invalid_url', 'url', /give one of/],
    ['another endpoint', json({ url: '/v1/responses' }), 'mismatched_endpoint', 'url', /the batch is for/],
    ['a body that is a text', json({ body: 'x' }), 'invalid_value', 'body', /give a JSON object/],
    ['a stream', json({ body: { stream: true } }), 'invalid_value', 'body.stream', /rows are whole, leave it out/],
  ];
  for (const [what, text, code, param, message] of wrong) {
    it(`${what} is told as ${code}`, () => {
      const problem = problemOf(text);
      expect(problem).to.include({ code, param, line: 7 });
      expect(problem?.message).to.match(message);
    });
  }
});

describe('the check of a batch', () => {
  const checked = (...lines: readonly string[]): BatchCheck => {
    const check = new BatchCheck('/v1/completions', 3);
    lines.every((text, i) => check.add(text, i + 1));
    check.end();
    return check;
  };

  it('counts requests, and finds the model', () => {
    const check = checked(json({}), json({ custom_id: 'b', body: { model: 'm' } }));
    expect(check.problems).to.deep.equal([]);
    expect([check.numLines, check.model]).to.deep.equal([2, 'm']);
  });

  it('names both lines of a custom_id that is there twice', () => {
    const [problem] = checked(json({}), json({ custom_id: 'b' }), json({})).problems;
    expect(problem).to.include({ code: 'duplicate_custom_id', line: 3 });
    expect(problem?.message).to.match(/line 3, as in line 1; give each its own/);
  });

  it('ends at one line too many', () => {
    const lines = ['a', 'b', 'c', 'd', 'e'].map((id) => json({ custom_id: id }));
    const check = checked(...lines);
    expect(check.numLines).to.equal(4);
    expect(check.problems.map(({ code }) => code)).to.deep.equal(['too_many_lines']);
  });

  it('a file without requests is told', () => {
    expect(checked().problems.map(({ code }) => code)).to.deep.equal(['empty_file']);
  });

  it('tells of the first 50 problems alone', () => {
    const check = new BatchCheck(null, 1000);
    const numRead = Array.from({ length: 100 }, (_, i) => i).findIndex((i) => !check.add('x', i + 1));
    expect([numRead, check.problems.length]).to.deep.equal([49, 50]);
  });
});
