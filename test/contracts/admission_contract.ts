/** What every mesh promises to whose seats ranks come later; run on each implementation. */
import { expect } from 'chai';
import {
  asRank,
  CommError,
  type FrameKey,
  type Mesh,
  type MeshLimits,
  type PeerAddress,
  type Rank,
} from '../../comm/index.js';
import { rejection, thrown } from '../kit/errors.js';
import { randomFrom } from '../refs/random.js';

/** A mesh that is linked to nobody, and where others reach it. */
export interface SeatedMesh {
  readonly mesh: Mesh;
  readonly address: Omit<PeerAddress, 'ticket'>;
}

/** Opens the mesh of who takes a seat of `size`. */
export type OpenSeats = (size: number, limits: MeshLimits) => (rank: number) => Promise<SeatedMesh>;

const WAIT = { timeoutMs: 10_000 };
const SIZE = 4;
const [R0, R1, R2] = [asRank(0), asRank(1), asRank(2)];

const keyOf = (step: number): FrameKey => ({ phase: 'dispatch', step, layer: 2, microBatch: 0, epoch: 0 });

function send(from: Mesh, to: Mesh, step: number, payload = Uint8Array.of(from.rank, step)): void {
  const rows = { numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0 } as const;
  const route = { ...keyOf(step), source: from.rank, destination: to.rank };
  from.send(to.rank, { ...route, ...rows, payloadBytes: payload.byteLength }, [payload]);
}

/** Whether the peer's port or its link is missed first is chance. */
async function neverCame(admission: Promise<void>, rank: Rank): Promise<void> {
  const error: unknown = await admission.catch((reason: unknown) => reason);
  expect(error).to.be.instanceOf(CommError).and.include({ rank, phase: 'link' });
  expect(['TIMEOUT', 'UNREACHABLE']).to.include((error as CommError).code);
}

/** `numTurns`: how often ranks come and go in the one long story. */
export function admissionContract(name: string, openSeats: OpenSeats, numTurns: number): void {
  describe(`${name} takes ranks in and lets them go`, () => {
    const open: Mesh[] = [];
    let numTickets = 0;
    let openSeat: ReturnType<OpenSeats>;
    const seat = async (rank: number): Promise<SeatedMesh> => {
      const seated = await openSeat(rank);
      open.push(seated.mesh);
      return seated;
    };
    const seats = (ranks: readonly number[]): Promise<SeatedMesh[]> => Promise.all(ranks.map(seat));
    const ticketed = ({ address }: SeatedMesh, ticket: string): PeerAddress => ({ ...address, ticket });
    const link = async (a: SeatedMesh, b: SeatedMesh): Promise<void> => {
      const ticket = `ticket ${++numTickets}`;
      await Promise.all([
        a.mesh.admit(b.mesh.rank, ticketed(b, ticket), WAIT),
        b.mesh.admit(a.mesh.rank, ticketed(a, ticket), WAIT),
      ]);
    };
    const swap = async ({ mesh: a }: SeatedMesh, { mesh: b }: SeatedMesh, step: number): Promise<void> => {
      send(a, b, step);
      send(b, a, step);
      const frames = await Promise.all([a.receive(b.rank, keyOf(step), WAIT), b.receive(a.rank, keyOf(step), WAIT)]);
      expect(frames.map(({ payload }) => [...payload])).to.deep.equal([
        [b.rank, step],
        [a.rank, step],
      ]);
    };

    beforeEach(() => {
      openSeat = openSeats(SIZE, { maxFrameBytes: 1000 });
    });
    afterEach(async () => {
      await Promise.all(open.splice(0).map((mesh) => mesh.close()));
    });

    it('links a newcomer to all who are there, while they exchange', async () => {
      const [a, b, c] = (await seats([0, 1, 2])) as [SeatedMesh, SeatedMesh, SeatedMesh];
      await link(a, b);
      const over = new AbortController();
      const exchanging = (async () => {
        let step = 0;
        for (; !over.signal.aborted; step++) await swap(a, b, step);
        return step;
      })();
      await Promise.all([link(a, c), link(b, c)]);
      over.abort();
      const step = await exchanging;
      for (const [x, y] of [
        [a, b],
        [a, c],
        [b, c],
      ] as const)
        await swap(x, y, step + 1);
    });

    it('has nobody to send to, or to wait for, in an empty seat: PEER_LOST', async () => {
      const [a, b] = (await seats([0, 1])) as [SeatedMesh, SeatedMesh];
      const error = await rejection(a.mesh.receive(R1, keyOf(1), WAIT), 'PEER_LOST', { rank: R1 });
      expect(error.message).to.contain('nobody has its seat');
      expect(thrown(() => send(a.mesh, b.mesh, 1), 'PEER_LOST').rank).to.equal(R1);
      await link(a, b);
      await swap(a, b, 1);
    });

    it('takes another rank in where one was lost: nothing of the old one is left, its keys serve again', async () => {
      const [a, b] = (await seats([0, 1])) as [SeatedMesh, SeatedMesh];
      await link(a, b);
      await swap(a, b, 1);
      send(b.mesh, a.mesh, 2);
      send(b.mesh, a.mesh, 3);
      await a.mesh.receive(R1, keyOf(3), WAIT);
      await b.mesh.close();
      await rejection(a.mesh.receive(R1, keyOf(9), WAIT), 'PEER_LOST', { rank: R1 });
      const other = await seat(1);
      await link(a, other);
      await swap(a, other, 1);
      await swap(a, other, 2);
      expect(a.mesh.stats()).to.include({ stale: 1, duplicates: 0 });
    });

    it('gives a newcomer the whole window, whatever the one before it left unread', async () => {
      const [a, b] = (await seats([0, 1])) as [SeatedMesh, SeatedMesh];
      const large = new Uint8Array(900);
      await link(a, b);
      for (const step of [1, 2]) send(b.mesh, a.mesh, step, large);
      await a.mesh.receive(R1, keyOf(2), WAIT);
      const other = await seat(1);
      await link(a, other);
      for (let step = 1; step < 9; step += 2) {
        for (const each of [step, step + 1]) send(other.mesh, a.mesh, each, large);
        for (const each of [step, step + 1]) await a.mesh.receive(R1, keyOf(each), WAIT);
      }
    });

    it('replaces a link that nobody knows to be dead, at once', async () => {
      const [a, b] = (await seats([0, 1])) as [SeatedMesh, SeatedMesh];
      await link(a, b);
      const waiting = rejection(a.mesh.receive(R1, keyOf(1), WAIT), 'PEER_LOST', { rank: R1 });
      const other = await seat(1);
      await link(a, other);
      expect((await waiting).message).to.contain('another rank takes its seat');
      await rejection(b.mesh.receive(R0, keyOf(1), WAIT), 'PEER_LOST', { rank: R0 });
      await swap(a, other, 1);
    });

    it('keeps who was muted muted', async () => {
      const [a, b] = (await seats([0, 1])) as [SeatedMesh, SeatedMesh];
      a.mesh.mute(R1, true);
      await link(a, b);
      await rejection(a.mesh.receive(R1, keyOf(1), WAIT), 'ABORTED', { rank: R1 });
      a.mesh.mute(R1, false);
      await swap(a, b, 2);
    });

    it('drops a link: who waits is told why, the other end hears of it, and this mesh goes on', async () => {
      const [a, b, c] = (await seats([0, 1, 2])) as [SeatedMesh, SeatedMesh, SeatedMesh];
      await Promise.all([link(a, b), link(a, c)]);
      const told = rejection(a.mesh.receive(R1, keyOf(1), WAIT), 'PEER_LOST', { rank: R1 });
      a.mesh.dismiss(R1, 'it leaves the job');
      a.mesh.dismiss(R1, 'twice');
      expect((await told).message).to.contain('it leaves the job');
      thrown(() => send(a.mesh, b.mesh, 1), 'PEER_LOST');
      await rejection(b.mesh.receive(R0, keyOf(1), WAIT), 'PEER_LOST', { rank: R0 });
      await swap(a, c, 1);
      await a.mesh.close();
      expect(await a.mesh.closed).to.deep.equal({ kind: 'closed' });
    });

    it('waits for a peer that was told later, and gives up one that never comes: its seat is empty, and another may come', async () => {
      const [a, b, c] = (await seats([0, 1, 2])) as [SeatedMesh, SeatedMesh, SeatedMesh];
      const early = a.mesh.admit(R1, ticketed(b, 't'), WAIT);
      const never = a.mesh.admit(R2, ticketed(c, 'u'), { timeoutMs: 300 });
      await neverCame(never, R2);
      await rejection(a.mesh.receive(R2, keyOf(1), WAIT), 'PEER_LOST', { rank: R2 });
      await Promise.all([early, b.mesh.admit(R0, ticketed(a, 't'), WAIT)]);
      await link(a, c);
      await swap(a, b, 1);
      await swap(a, c, 1);
    });

    it('lets nobody in by the ticket of another', async () => {
      const [a, b, zombie] = (await seats([0, 1, 1])) as [SeatedMesh, SeatedMesh, SeatedMesh];
      const refused = neverCame(zombie.mesh.admit(R0, ticketed(a, 'old'), { timeoutMs: 500 }), R0);
      await link(a, b);
      await refused;
      await swap(a, b, 1);
    });

    it('ends an admission by its signal, by dismissing, by another admission and by closing: ABORTED', async () => {
      const [a, b] = (await seats([0, 1])) as [SeatedMesh, SeatedMesh];
      const abort = new AbortController();
      const byLater = rejection(a.mesh.admit(R1, ticketed(b, '1'), WAIT), 'ABORTED', { rank: R1 });
      const bySignal = a.mesh.admit(R1, ticketed(b, '2'), { ...WAIT, signal: abort.signal });
      abort.abort();
      await rejection(bySignal, 'ABORTED', { rank: R1 });
      await byLater;
      const byDismissal = rejection(a.mesh.admit(R1, ticketed(b, '3'), WAIT), 'ABORTED', { rank: R1 });
      a.mesh.dismiss(R1, 'it never came');
      await byDismissal;
      await link(a, b);
      await swap(a, b, 1);
      const byClosing = rejection(a.mesh.admit(R2, ticketed(b, '4'), WAIT), 'ABORTED', { rank: R2 });
      await a.mesh.close();
      await byClosing;
      await rejection(a.mesh.admit(R2, ticketed(b, '5'), WAIT), 'CLOSED', { rank: R2 });
    });

    it(`whoever comes and goes, ${numTurns} times, and however: those who are linked exchange`, async () => {
      const random = randomFrom(numTurns);
      const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
      const present = new Map<number, SeatedMesh>();
      const come = async (rank: number): Promise<void> => {
        const newcomer = await seat(rank);
        await Promise.all([...present].filter(([other]) => other !== rank).map(([, other]) => link(other, newcomer)));
        present.set(rank, newcomer);
      };
      for (let step = 0; step < numTurns; step++) {
        const rank = Math.floor(random() * SIZE);
        const left = present.get(rank);
        const others = [...present.values()].filter(({ mesh }) => mesh.rank !== rank);
        // It dies, or is thought to be dead by all or by one of the others; another one takes its seat at once.
        const how = pick(['dies', 'is dismissed', 'is replaced']);
        if (how === 'dies') await left?.mesh.close();
        else if (how === 'is dismissed' && others.length > 0) pick(others).mesh.dismiss(asRank(rank), 'it seems dead');
        await come(rank);
        for (const [a, x] of present) for (const [b, y] of present) if (a < b) await swap(x, y, step);
      }
    });

    it('refuses to admit itself, who is no peer, and a time that no timer counts: INVALID_ARGUMENT', async () => {
      const a = await seat(0);
      for (const rank of [0, SIZE, -1]) {
        await rejection(a.mesh.admit(asRank(rank), ticketed(a, 't'), WAIT), 'INVALID_ARGUMENT');
      }
      await rejection(a.mesh.admit(R1, ticketed(a, 't'), { timeoutMs: 0 }), 'INVALID_ARGUMENT');
    });
  });
}
