/** GET /metrics over HTTP. */
import { expect } from 'chai';
import { Scrape } from '../../../kit/telemetry/prometheus.js';
import { TelemeteredApp } from '../../../kit/telemetry/telemetered_app.js';

describe('GET /metrics', () => {
  it('is Prometheus’ text of what happened, and needs the API key where there is one', async () => {
    const { server } = await TelemeteredApp.create({ apiKeys: ['key'] });
    expect((await server.app.inject({ url: '/metrics' })).statusCode).to.equal(401);
    const headers = { authorization: 'Bearer key' };
    await server.app.inject({ method: 'POST', url: '/played?tokens=3', headers });
    const answer = await server.app.inject({ url: '/metrics', headers });
    expect(answer.headers['content-type']).to.equal('text/plain; version=0.0.4; charset=utf-8');
    const scrape = new Scrape(answer.body);
    expect(scrape.value('vllm:generation_tokens_total', { model_name: 'moe-7m', engine: '0' })).to.equal(3);
    expect(scrape.series.has('expertwire:expert_tokens_total')).to.equal(false);
    await server.close();
  });

  it('has a series per expert with server.metrics full, and the model’s name as it is served', async () => {
    const { server } = await TelemeteredApp.create({ server: { metrics: 'full', served_model_name: 'small' } });
    await server.app.inject({ method: 'POST', url: '/played?tokens=1' });
    const scrape = new Scrape((await server.app.inject({ url: '/metrics' })).body);
    const first = { model_name: 'small', layer: '0', expert: '0' };
    expect(scrape.value('expertwire:expert_tokens_total', first)).to.equal(2);
    await server.close();
  });
});
