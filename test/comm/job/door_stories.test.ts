import { expect } from 'chai';
import fc from 'fast-check';
import { asRank, CommError, Door, type ControlLink, type ControlMessage, type Rank } from '../../../comm/index.js';
import { MemoryLink } from '../../kit/comm/memory_link.js';
import { randomFrom } from '../../refs/random.js';

const NUM_SEATS = 5;
const NUM_FIRST = 2;
const FINGERPRINT = 'f';
const STAGES = ['offer', 'ready', 'meshed'] as const;
/** Nothing in a story lasts so long. */
const FOR_EVER_MS = 60_000;

/** How likely it is that ranks don't do as they should. */
interface Manners {
  readonly faults: number;
  readonly seed: number;
}

/** A rank as the head's link shows it: says what it should, or something else, or nothing. */
class PlayedRank {
  readonly head: MemoryLink;
  private readonly own: MemoryLink;
  /** What it was told last of each seat, and by which ticket. */
  readonly told = new Map<number, { readonly type: 'admit' | 'dismiss'; readonly ticket: string }>();
  /** Tickets of links that it says are there, by seat. */
  readonly linked = new Map<number, string>();
  rank: number | undefined;
  isRefused = false;
  private numStages = 0;

  constructor(
    private readonly random: () => number,
    private readonly faults: number,
  ) {
    const [head, own] = MemoryLink.pair();
    this.head = head;
    this.own = own;
    this.own.onMessage((message) => this.hear(message));
  }

  /** Says what comes next, unless it has other ideas. */
  goOn(): void {
    const stage = STAGES[this.numStages++];
    if (stage === undefined) return;
    if (this.random() >= this.faults) return this.say(this.messageOf(stage));
    const ideas = [
      () => void this.own.close(),
      () => this.say({ type: 'failed', error: { code: 'X', reason: 'r', advice: '', blames: [] } }),
      () => this.say({ type: 'join' }),
      () => this.say({ ...this.messageOf('ready'), fingerprint: 'other' } as ControlMessage),
      () => undefined,
    ];
    ideas[Math.floor(this.random() * ideas.length)]!();
  }

  get isOpen(): boolean {
    return this.own.isOpen;
  }

  leave(): void {
    void this.own.close();
  }

  private messageOf(stage: (typeof STAGES)[number]): ControlMessage {
    if (stage === 'offer') return { type: 'offer', body: null };
    if (stage === 'meshed') return { type: 'meshed' };
    return { type: 'ready', fingerprint: FINGERPRINT, host: '127.0.0.1', port: 7 };
  }

  private say(message: ControlMessage): void {
    if (this.own.isOpen) this.own.send(message);
  }

  private hear(message: ControlMessage): void {
    if (message.type === 'welcome') this.rank = message.rank;
    if (message.type === 'failed') this.isRefused = true;
    if (message.type === 'welcome' || message.type === 'agreed' || message.type === 'peers') this.goOn();
    if (message.type === 'dismiss') {
      expect(this.told.get(message.rank)?.type).not.to.equal('dismiss');
      this.told.set(message.rank, { type: 'dismiss', ticket: '' });
      this.linked.delete(message.rank);
    }
    if (message.type === 'admit') this.admit(message.rank, message.ticket);
  }

  private admit(rank: number, ticket: string): void {
    expect(this.told.get(rank)?.ticket).not.to.equal(ticket);
    this.told.set(rank, { type: 'admit', ticket });
    this.linked.delete(rank);
    if (this.random() < this.faults / 4) return; // it never says what became of it
    if (this.random() < this.faults) {
      const error = { code: 'UNREACHABLE', reason: 'r', advice: '', blames: [rank] };
      return this.say({ type: 'unlinked', rank, ticket, error });
    }
    this.linked.set(rank, ticket);
    this.say({ type: 'linked', rank, ticket });
  }
}

/** A job's head, with what must hold whatever ranks do. */
class Story {
  readonly random: () => number;
  /** Who was taken in and isn't lost, by seat. */
  readonly present = new Map<number, PlayedRank>();
  /** Who has a seat and is still coming. */
  readonly coming = new Map<number, PlayedRank>();
  readonly newcomers: PlayedRank[] = [];
  readonly outcomes: string[] = [];
  readonly door: Door;

  constructor(private readonly manners: Manners) {
    this.random = randomFrom(manners.seed);
    for (let rank = 0; rank < NUM_FIRST; rank++) this.takeIn(rank, this.newRank());
    const seats = Array.from({ length: NUM_SEATS }, (_, rank) => {
      const first = this.present.get(rank);
      return first && { link: first.head, host: '127.0.0.1', port: 1 };
    });
    this.door = new Door(
      { seats, fingerprint: FINGERPRINT, jobId: 'j', refuse: () => undefined },
      {
        timeoutMs: FOR_EVER_MS,
        welcome: (rank) => this.welcome(rank),
        agree: () => null,
        onCandidate: ({ rank }) => this.candidate(rank),
        onFailed: (rank) => this.failed(rank),
      },
    );
  }

  /** Somebody dials. */
  come(): void {
    const newcomer = this.newRank();
    this.newcomers.push(newcomer);
    this.door.join(newcomer.head as unknown as ControlLink, { type: 'join' });
  }

  /** A rank that was taken in is lost. */
  lose(): void {
    if (this.present.size < 2) return;
    const rank = [...this.present.keys()][Math.floor(this.random() * this.present.size)]!;
    this.present.get(rank)!.leave();
    this.present.delete(rank);
    this.door.vacate(asRank(rank), 'it is lost');
  }

  private newRank(): PlayedRank {
    return new PlayedRank(this.random, this.manners.faults);
  }

  private takeIn(rank: number, played: PlayedRank): void {
    this.present.set(rank, played);
    played.head.onMessage((message) => {
      const isOfLinks = message.type === 'linked' || message.type === 'unlinked';
      if (isOfLinks && this.present.get(rank) === played) this.door.hear(asRank(rank), message);
    });
  }

  private welcome(rank: Rank): unknown {
    expect([this.present.has(rank), this.coming.has(rank)], 'a seat is given once').to.deep.equal([false, false]);
    this.coming.set(rank, this.newcomers.at(-1)!);
    return null;
  }

  private candidate(rank: Rank): void {
    const played = this.coming.get(rank)!;
    for (const [other, present] of this.present) {
      const ticket = played.linked.get(other);
      expect(ticket, `${rank} is linked to ${other}`).to.be.a('string');
      expect(present.linked.get(rank), `${other} is linked to ${rank}`).to.equal(ticket);
    }
    this.coming.delete(rank);
    this.takeIn(rank, played);
    this.outcomes.push('candidate');
  }

  private failed(rank: Rank): void {
    expect(this.coming.delete(rank), 'who fails was coming').to.equal(true);
    this.outcomes.push('failed');
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function play(manners: Manners, deeds: readonly ('come' | 'lose' | 'wait')[]): Promise<Story> {
  const story = new Story(manners);
  for (const deed of deeds) {
    if (deed === 'wait') await turn();
    else story[deed]();
  }
  for (let i = 0; i < 40; i++) await turn();
  return story;
}

const deeds = fc.array(fc.constantFrom('come', 'lose', 'wait', 'wait', 'wait'), { maxLength: 40 });

describe('whatever ranks do at the door', () => {
  it('a seat has one owner, candidates are linked to all, and everybody’s story has an end', async () => {
    const manners = fc.record({ faults: fc.constantFrom(0.02, 0.1, 0.4), seed: fc.nat() });
    await fc.assert(
      fc.asyncProperty(manners, deeds, async (how, what) => {
        const story = await play(how, what);
        story.door.close(new CommError('CLOSED', 'the story is over; tell another'));
        await turn();
        await turn();
        const numRefused = story.newcomers.filter(({ rank }) => rank === undefined).length;
        expect(story.outcomes.length + numRefused).to.equal(story.newcomers.length);
        expect(story.coming.size).to.equal(0);
        for (const played of story.present.values()) expect(played.isRefused).to.equal(false);
        const isPresent = (played: PlayedRank): boolean => [...story.present.values()].includes(played);
        for (const played of story.newcomers) if (!isPresent(played)) expect(played.isOpen).to.equal(false);
      }),
      { numRuns: 200 },
    );
  });

  it('all who find a seat come in where nobody does otherwise', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), deeds, async (seed, what) => {
        const story = await play({ faults: 0, seed }, what);
        expect(story.coming.size).to.equal(0);
        expect(story.outcomes).not.to.include('failed');
      }),
      { numRuns: 50 },
    );
  });
});
