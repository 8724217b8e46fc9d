import { expect } from 'chai';
import type { ResumeRow } from '../../../bench/resume/run_resume.js';
import { runBench } from '../../../bench/index.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { Processes } from '../../kit/processes/processes.js';

const processes = new Processes();

describe('expertwire bench resume', function () {
  this.timeout(120_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('a server that is killed is followed by one with the same tokens, with its ranks and with others', async () => {
    const context = { ...commandContext(), env: process.env }; // which marks what is started
    await runBench(['resume', '--rounds', '1', '--new-tokens', '60', '--ranks', '1', '--json'], context);
    const { rows } = JSON.parse(context.printed()) as { readonly rows: readonly ResumeRow[] };
    expect(rows.map(({ ranks, identical }) => [ranks, identical])).to.deep.equal([
      ['kept', 1],
      ['started anew', 1],
    ]);
    for (const { serving_ms, next_token_ms } of rows) expect(next_token_ms).to.be.above(serving_ms).and.above(0);
  });
});
