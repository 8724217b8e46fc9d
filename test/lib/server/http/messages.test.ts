/** What clients that make a mistake get to read: no words of the framework, and what to do. */
import { expect } from 'chai';
import { errorOf, post, servedApp } from '../../../kit/server/served_app.js';

describe('the message for', () => {
  const raw: readonly (readonly [string, Readonly<Record<string, string>>, string, number, string])[] = [
    ['another Content-Type', { 'content-type': 'text/plain' }, '{}', 415, 'send Content-Type: application/json'],
    ['no Content-Type', {}, '{}', 415, 'send Content-Type: application/json'],
    ['what is no JSON', { 'content-type': 'application/json' }, '{', 400, 'or has a key __proto__; send'],
    [
      'a long body',
      { 'content-type': 'application/json' },
      `"${'x'.repeat(2000)}"`,
      413,
      'server.max_body_bytes, 1024;',
    ],
    ['a null body', { 'content-type': 'application/json' }, 'null', 400, 'the body is missing; give a JSON object'],
    ['no body', {}, '', 400, 'the body is missing; give a JSON object'],
  ];
  for (const [title, headers, payload, status, part] of raw) {
    it(`${title} says "${part}"`, async () => {
      const { app } = await servedApp({ base: { server: { max_body_bytes: 1024 } } });
      const answer = await app.inject({ method: 'POST', url: '/v1/completions', headers, payload });
      expect(answer.statusCode).to.equal(status);
      expect(errorOf(answer).message).to.include(part);
    });
  }

  it('a URL with a % that begins nothing says how to write it', async () => {
    const { app } = await servedApp();
    expect(errorOf(await app.inject('/health%')).message).to.include('write %25');
  });

  const fields: readonly (readonly [string, object, string])[] = [
    ['/v1/completions', {}, 'prompt is missing; give a text, a list of token ids, or a list of either'],
    ['/v1/chat/completions', {}, 'messages is missing; give a list of 1 to 4096 messages {"role", "content"}'],
    ['/v1/completions', { prompt: null }, 'prompt is null; give a text, a list of token ids, or a list of either'],
    ['/v1/completions', { prompt: 'a', n: 0 }, 'n is 0; give a whole number from 1'],
    ['/v1/completions', { prompt: 'a', n: 9 }, 'n is 9, more than server.max_choices, 8; lower n'],
    [
      '/v1/completions',
      { prompt: ['a', 'b'], n: 5 },
      '2 prompts times n 5 are 10 choices, more than server.max_choices, 8; lower n',
    ],
    [
      '/v1/completions',
      { prompt: Array.from({ length: 9 }, () => 'a') },
      'there are 9 prompts, more than server.max_choices, 8; send fewer',
    ],
  ];
  for (const [url, body, message] of fields) {
    it(`${url} ${JSON.stringify(body)} is "${message}"`, async () => {
      const { app } = await servedApp({ base: { server: { max_choices: 8 } } });
      const answer = await post(app, url, body);
      expect([answer.statusCode, errorOf(answer).message]).to.deep.equal([400, message]);
    });
  }
});
