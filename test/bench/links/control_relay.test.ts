import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { ControlRelay } from '../../../bench/links/control_relay.js';
import { NO_LIMITS } from '../../../bench/links/lane.js';
import { binaryMessage, frameAt, MessageCutter } from '../../../bench/links/message_cutter.js';
import { decodeMessage, encodeMessage, type ControlMessage } from '../../../comm/job/messages.js';

/** What a server sends, and what it got. */
class Host {
  readonly socket: Promise<Socket>;

  private constructor(private readonly server: Server) {
    this.socket = once(server, 'connection').then(([socket]) => socket as Socket);
  }

  static async listen(): Promise<Host> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Host(server);
  }

  get address() {
    return { host: '127.0.0.1', port: (this.server.address() as AddressInfo).port };
  }

  async close(): Promise<void> {
    (await this.socket).destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const message = (body: ControlMessage): Buffer => binaryMessage(encodeMessage(body));
const decoded = (bytes: Buffer): ControlMessage => decodeMessage(bytes.subarray(frameAt(bytes, 0)!.start));

describe('relays between ranks', () => {
  let head: Host;
  let peer: Host;
  let relay: ControlRelay;
  let rank: Socket;
  let link: Socket;

  /** The next whole messages that a rank gets from its head. */
  async function told(count: number): Promise<Buffer[]> {
    const cutter = new MessageCutter();
    const all: Buffer[] = [];
    for await (const bytes of rank.iterator({ destroyOnReturn: false })) {
      all.push(...cutter.push(bytes as Buffer));
      if (all.length >= count) return all;
    }
    throw new Error('the head went away');
  }

  /** Rank 2 joins, is told that rank 0 is at `peer`, and dials what it heard. */
  beforeEach(async () => {
    [head, peer, relay] = await Promise.all([Host.listen(), Host.listen(), ControlRelay.open(NO_LIMITS)]);
    rank = connect(relay.port, '127.0.0.1');
    relay.leadTo(head.address);
    const own = await head.socket;
    own.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
    own.write(binaryMessage(Buffer.from('a challenge that is no message of a job')));
    own.write(message({ type: 'welcome', rank: 2, size: 3, job: { big: 'x'.repeat(70_000) } }));
    const nobody = { host: '127.0.0.1', port: 0 };
    const addresses = [peer.address, nobody, { host: '127.0.0.1', port: 9 }];
    own.write(message({ type: 'peers', addresses, fingerprint: 'f', jobId: 'j' }));
    own.write(message({ type: 'shutdown', reason: 'behind what is rewritten' }));
    const [, , welcome, peers, last] = await told(5);
    expect(decoded(welcome!)).to.have.property('rank', 2);
    expect(decoded(last!)).to.have.property('type', 'shutdown');
    const heard = decoded(peers!) as Extract<ControlMessage, { type: 'peers' }>;
    expect(heard).to.include({ fingerprint: 'f', jobId: 'j' });
    expect(heard.addresses.slice(1)).to.deep.equal(addresses.slice(1)); // an empty seat, and the rank itself
    expect(heard.addresses[0]!.port).to.not.equal(peer.address.port);
    link = connect(heard.addresses[0]!.port, '127.0.0.1');
  });

  afterEach(async () => {
    link.destroy();
    rank.destroy();
    await Promise.all([head.close(), peer.close(), relay.close()]);
  });

  const textAt = async (socket: Socket): Promise<string> => String((await once(socket, 'data'))[0]);

  it('what ranks say reaches the other, both ways', async () => {
    link.write('there');
    expect(await textAt(await peer.socket)).to.equal('there');
    (await peer.socket).write('back');
    expect(await textAt(link)).to.equal('back');
  });

  it('a link that is silent one way is whole the other way, and nothing is lost when it is healed', async () => {
    const other = await peer.socket;
    relay.silence(2, 0);
    let heard = '';
    other.on('data', (bytes) => (heard += String(bytes)));
    link.write('held');
    other.write('goes');
    expect(await textAt(link)).to.equal('goes');
    expect(heard).to.equal('');
    relay.heal();
    if (heard === '') await once(other, 'data');
    expect(heard).to.equal('held');
    relay.silence(0, 2);
    other.write('held too');
    link.write('there');
    await once(other, 'data');
    expect(heard).to.equal('heldthere');
    expect(link.read()).to.equal(null);
    relay.heal();
    expect(await textAt(link)).to.equal('held too');
  });

  it('a link that is cut ends at both ends, and others don’t', async () => {
    const other = await peer.socket;
    relay.cut(1, 0);
    link.write('still there');
    expect(await textAt(other)).to.equal('still there');
    relay.cut(0, 2);
    await Promise.all([once(link, 'close'), once(other, 'close')]);
    rank.write('to the head');
    expect(await textAt(await head.socket)).to.equal('to the head');
  });

  it('a rank that goes is gone at the head', async () => {
    const own = await head.socket;
    rank.destroy();
    await once(own.resume(), 'close');
  });
});
