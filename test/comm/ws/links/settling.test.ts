import { expect } from 'chai';
import { settled } from '../../../../comm/ws/links/settling.js';

const MANY = 1024 * 1024;

/** An end whose bytes leave as `unsent` says, each time it is asked. */
class FakeEnd {
  numAsked = 0;
  readonly listeners = new Set<() => void>();

  constructor(private readonly unsent: (numAsked: number) => number) {}

  get unsentBytes(): number {
    return this.unsent(this.numAsked++);
  }

  onDrain(listener: () => void): void {
    this.listeners.add(listener);
  }

  offDrain(listener: () => void): void {
    this.listeners.delete(listener);
  }
}

describe('waiting for what is leaving', () => {
  it('doesn’t happen where little waits', () => {
    expect(settled([])).to.equal(undefined);
    expect(settled([new FakeEnd(() => 1000), new FakeEnd(() => 0)])).to.equal(undefined);
  });

  it('goes on while much leaves, to the end', async () => {
    const end = new FakeEnd((numAsked) => Math.max(0, MANY - numAsked * 150_000));
    await settled([end]);
    expect(end.numAsked).to.equal(8);
    expect(end.listeners.size).to.equal(0);
  });

  it('ends when the system has taken all, of every end', async () => {
    let bytes = 1000 * MANY;
    // Always much progress, so that a lack of it doesn't end the wait.
    const slow = new FakeEnd(() => (bytes = Math.max(0, bytes - MANY)));
    const quick = new FakeEnd(() => 0);
    const waiting = settled([quick, slow])!;
    for (const listener of quick.listeners) listener();
    expect(slow.listeners.size).to.equal(1);
    bytes = 0;
    for (const listener of slow.listeners) listener();
    await waiting;
    expect(quick.listeners.size + slow.listeners.size).to.equal(0);
  });

  for (const [what, perLook] of [
    ['nothing leaves: a peer that doesn’t read is not waited for', 0],
    ['little leaves: a slow link holds up nobody', 100_000],
  ] as const) {
    it(`ends where ${what}`, async () => {
      const end = new FakeEnd((numAsked) => MANY - numAsked * perLook);
      await settled([end]);
      expect(end.numAsked).to.equal(2);
      expect(end.listeners.size).to.equal(0);
    });
  }
});
