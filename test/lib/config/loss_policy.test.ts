import { expect } from 'chai';
import { withLossPolicy } from '../../../lib/config/loss_policy.js';
import { DEFAULTS, type ExpertwireConfig } from '../../../lib/config/schema.js';

describe('what the loss of a rank comes to', () => {
  const policy = (numSeats: number, changes: Partial<ExpertwireConfig['comm']> = {}): string => {
    const config = { ...DEFAULTS, model: 'm', comm: { ...DEFAULTS.comm, ...changes } };
    return withLossPolicy(config, numSeats).comm.on_peer_loss;
  };

  it('is by default made good where others can be there', () => {
    expect(policy(2)).to.equal('recover');
    expect(policy(64, { io_thread: true })).to.equal('recover');
  });

  it('is by default the end of a job of one seat, of threads, or of ranks that forward for others', () => {
    expect(policy(1)).to.equal('fail');
    expect(policy(4, { transport: 'threads' })).to.equal('fail');
    expect(policy(4, { num_nodes: 2 })).to.equal('fail');
  });

  it('is what was asked for', () => {
    for (const asked of ['recover', 'mask', 'fail'] as const) {
      expect(policy(1, { on_peer_loss: asked })).to.equal(asked);
      expect(policy(4, { on_peer_loss: asked })).to.equal(asked);
    }
  });
});
