import { expect } from 'chai';
import type { FastifyRequest } from 'fastify';
import fc from 'fast-check';
import { readAsked, spliced, type Asked } from '../../../../../lib/cluster/router/passage/asked.js';
import { ApiError } from '../../../../../lib/server/base/api_error.js';
import { errorOf } from '../../../../kit/rejects.js';

const asked = (body: unknown, url = '/v1/completions'): Asked =>
  readAsked({
    ...{ id: 'one', method: 'POST', url, headers: {} },
    body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  } as FastifyRequest);

describe('what a request asks for', () => {
  it('is read from its body', () => {
    const body = { model: 'm', stream: true, max_tokens: 7, priority: -2, request_id: 'mine', prompt: 'x' };
    expect(asked(body)).to.include({
      ...{ id: 'mine', endpoint: '/v1/completions', model: 'm', isStream: true, maxNewTokens: 7, priority: -2 },
      ...{ canMove: true, isClients: false },
    });
  });

  it('has defaults', () => {
    const { id, model, isStream, maxNewTokens, priority } = asked({ prompt: 'x' });
    expect([id, model, isStream, maxNewTokens, priority]).to.deep.equal(['one', null, false, 16, 0]);
    expect(asked({ messages: [] }, '/v1/chat/completions').maxNewTokens).to.equal(2 ** 20);
    expect(asked({ max_completion_tokens: 3 }, '/v1/chat/completions?x=1')).to.include({
      maxNewTokens: 3,
      endpoint: '/v1/chat/completions',
    });
    expect(asked({ max_output_tokens: 4 }, '/v1/responses').maxNewTokens).to.equal(4);
  });

  for (const body of [
    '',
    'no JSON',
    '[1]',
    'null',
    '"text"',
    '{"stream": "yes", "model": 4, "priority": "x", "request_id": 9}',
  ]) {
    it(`is left to its instance where nothing of it can be read: ${body}`, () => {
      expect(asked(body)).to.include({ id: 'one', isStream: false, model: null, priority: 0, canMove: true });
    });
  }

  const unmovable = [
    { n: 2 },
    { best_of: 2 },
    { logprobs: 1 },
    { logprobs: true },
    { prompt_logprobs: 0 },
    { return_routed_experts: true },
    { return_router_logits: 0.5 },
    { include: ['message.output_text.logprobs'] },
    { prompt: ['a', 'b'] },
    { prompt: [[1], [2]] },
  ];
  for (const fields of unmovable) {
    it(`can’t move with ${JSON.stringify(fields)}`, () => {
      expect(asked({ prompt: 'x', ...fields }).canMove).to.equal(false);
    });
  }

  it('can move with one prompt, however it is written', () => {
    for (const prompt of ['x', ['x'], [1, 2, 3], [[1, 2]]])
      expect(asked({ prompt, n: 1, logprobs: false, include: [] }).canMove).to.equal(true);
  });

  it('is its client’s own where it says how keys and values travel', () => {
    expect(asked({ kv_transfer_params: { do_remote_decode: true } }).isClients).to.equal(true);
  });

  it('is refused where it says what only routers say', async () => {
    const { code, param } = await errorOf(ApiError, () => asked({ resume: { token_ids: [1] } }));
    expect([code, param]).to.deep.equal(['UNSUPPORTED', 'resume']);
  });
});

describe('fields that are added to a body', () => {
  it('leave it as it was written, and count', () => {
    const text = '{ "temperature": 1.0,\n "seed": 12345678901234567890, "x": {"a": "}"} } \n';
    const whole = String(spliced(Buffer.from(text), { stream: true, x: null }));
    expect(whole).to.equal(
      '{ "temperature": 1.0,\n "seed": 12345678901234567890, "x": {"a": "}"} ,"stream":true,"x":null}',
    );
    expect(JSON.parse(whole)).to.include({ stream: true, x: null });
  });

  it('come into any object', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }),
        (body, added) => {
          const whole = spliced(Buffer.from(JSON.stringify(body)), added);
          const expected = JSON.parse(JSON.stringify({ ...body, ...added })) as unknown;
          expect(JSON.parse(String(whole))).to.deep.equal(expected);
        },
      ),
    );
  });
});
