import { expect } from 'chai';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, WebSocket } from 'ws';
import { ControlLink } from '../../../comm/job/control_link.js';

/** A peer that answers pings or doesn't, and a link to it. */
async function linkTo(autoPong: boolean): Promise<{ link: ControlLink; peer: WebSocket; server: WebSocketServer }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', autoPong });
  await once(server, 'listening');
  const arrived = once(server, 'connection') as Promise<[WebSocket]>;
  const ws = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const [[response]] = await Promise.all([once(ws, 'upgrade') as Promise<[IncomingMessage]>, once(ws, 'open')]);
  const [peer] = await arrived;
  return { link: new ControlLink(ws, response.socket), peer, server };
}

describe('a watched control link', () => {
  it('is lost when its peer gives no sign of life', async () => {
    const { link, peer, server } = await linkTo(false);
    link.watch(60);
    expect(await link.closed).to.deep.equal({ kind: 'lost', why: 'no sign of life in 60 ms' });
    peer.terminate();
    server.close();
  });

  it('is watched no more once its peer has answered, and is told of as silent where that never comes', async () => {
    const answering = await linkTo(true);
    expect(await answering.link.watch(30)()).to.equal(true);
    answering.peer.pause(); // as if it were stopped
    const silent = await linkTo(false);
    expect(await silent.link.watch(60)()).to.equal(false);
    expect(silent.link.isOpen).to.equal(false);
    expect(answering.link.isOpen).to.equal(true);
    for (const { peer, server } of [answering, silent]) {
      peer.terminate();
      server.close();
    }
  });

  it('stays open as long as its peer answers', async () => {
    const { link, peer, server } = await linkTo(true);
    link.watch(300);
    for (let i = 0; i < 15; i++) await once(peer, 'ping'); // six of them are due within one deadline
    expect(link.isOpen).to.equal(true);
    await link.close();
    server.close();
  });
});
