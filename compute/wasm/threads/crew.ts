/**
 * The threads that compute for a rank beside its own. N threads are N − 1 helpers, which take part in what the rank's thread calls, and a stand-in: it makes long calls
 * in the place of the rank's thread, whose event loop is free meanwhile.
 * Why: docs/decisions/threads.md#a-stand-in-leaves-the-event-loop-free, docs/decisions/threads.md#a-thread-that-fails-ends-the-rank
 */
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads';
import { ExpertError } from '../../base/errors.js';
import type { CrewExports, KernelModule } from './crew_instance.js';
import type { CrewFailure, CrewMemory, CrewWorkerData } from './crew_worker.js';
import { CREW_WORDS, crewWords, MAX_CALL_ARGS, ringFor } from './crew_words.js';

/** What to start. */
export interface CrewOptions {
  /** That compute at a time, at least 2. */
  readonly numThreads: number;
  /** The compiled kernels: a WebAssembly.Module. */
  readonly module: object;
  /** What its `setTile` is told, if anything. Default null. */
  readonly tileRows?: number | null;
  /** How long helpers look for work before they sleep. Default {@link LOOK_MS}; 0 where more threads compute than there are cores. */
  readonly lookMs?: number;
  /** Work in nanoseconds of one thread that is worth dividing. Default {@link REGION_NS}. */
  readonly regionNs?: number;
}

/** As long as the pauses within a step, and most between steps: from what sleeps, help comes 50 µs late, 0.5 ms on a virtual machine. */
export const LOOK_MS = 1;

/** A fork and join costs less than 1 µs while helpers look for work, and a call more where they sleep. */
export const REGION_NS = 12_000;

/** How a memory takes part. */
export interface CrewSeat {
  readonly numThreads: number;
  /** For the instance of the rank's own thread. */
  readonly imports: Pick<KernelModule, 'ring' | 'checkHelpers'>;
  /** Once, before the first call: that instance, and what hands out room for the static areas of another thread. */
  open(memory: object, exports: CrewExports, staticsOfThread: () => number): void;
  /** As the kernel of that name in the memory would, on other threads; one call at a time. @throws ExpertError THREAD_FAILED */
  call(kernel: string, args: readonly number[]): Promise<number>;
}

/** What threads did so far. */
export interface CrewStats {
  readonly numThreads: number;
  /** Chunks that helpers did. */
  readonly numChunks: number;
  /** How often a helper was woken. */
  readonly numWakes: number;
  /** Calls of the stand-in. */
  readonly numCalls: number;
}

interface Member {
  readonly worker: Worker;
  readonly port: MessagePort;
}

/** Seconds without a chunk done, of which each takes well below one. */
const MAX_WAIT_SECONDS = 10;

/** Helpers and stand-in. They keep no process alive, unless a call is under way. */
export class Crew {
  readonly numThreads: number;
  /** Resolves when a thread failed, with what befell it. Never rejects. */
  readonly failed: Promise<ExpertError>;
  private readonly regionNs: number;
  private readonly words = crewWords();
  private readonly members: Member[] = [];
  private readonly exports: CrewExports[] = [];
  private failure: ExpertError | null = null;
  private tell!: (failure: ExpertError) => void;
  private isCalling = false;

  private constructor(private readonly options: CrewOptions) {
    this.numThreads = options.numThreads;
    this.regionNs = options.regionNs ?? REGION_NS;
    this.failed = new Promise((resolve) => (this.tell = resolve));
  }

  /** Resolves when all threads are there. @throws ExpertError THREAD_FAILED for one that can't be started; then none is left */
  static async start(options: CrewOptions): Promise<Crew> {
    const crew = new Crew(options);
    try {
      await Promise.all(Array.from({ length: options.numThreads }, (_, i) => crew.add(i + 1)));
    } catch (error) {
      await crew.close();
      throw error;
    }
    return crew;
  }

  /** A memory in which the threads are to compute. */
  seat(): CrewSeat {
    const { words, exports, members } = this;
    const index = exports.length;
    let kernels: readonly string[] = [];
    return {
      numThreads: this.numThreads,
      imports: {
        ring: (numHelpers) => ringFor(words, index, numHelpers),
        checkHelpers: (numSeconds) => this.check(numSeconds),
      },
      open: (memory, own, staticsOfThread) => {
        exports[index] = own;
        kernels = Object.keys(own);
        own.joinCrew(this.numThreads, 0, this.regionNs);
        for (const { port } of members)
          port.postMessage({ index, memory, statics: staticsOfThread() } satisfies CrewMemory);
      },
      call: (kernel, args) => this.call(index, kernels.indexOf(kernel), args),
    };
  }

  /** Counts. */
  stats(): CrewStats {
    const [numChunks, numWakes, numCalls] = [CREW_WORDS.numChunks, CREW_WORDS.numWakes, CREW_WORDS.call].map((at) =>
      Atomics.load(this.words, at),
    ) as [number, number, number];
    return { numThreads: this.numThreads, numChunks, numWakes, numCalls };
  }

  /** Ends all threads; a call that is under way is refused. Idempotent. */
  async close(): Promise<void> {
    this.failure ??= new ExpertError('THREAD_FAILED', 'the threads of this rank were ended; start the job again');
    Atomics.notify(this.words, CREW_WORDS.called);
    await Promise.all(
      this.members.map(({ worker, port }) => {
        port.close();
        return worker.terminate();
      }),
    );
  }

  private async add(place: number): Promise<void> {
    const { module, tileRows = null, numThreads, lookMs = LOOK_MS } = this.options;
    const { port1: port, port2 } = new MessageChannel();
    const data: CrewWorkerData = {
      module,
      tileRows,
      words: this.words,
      port: port2,
      numThreads,
      regionNs: this.regionNs,
      place,
      lookMs,
    };
    try {
      const worker = new Worker(new URL('./crew_worker.js', import.meta.url), {
        ...{ workerData: data, transferList: [port2], name: `compute ${place}`, argv: [], env: {}, execArgv: [] },
        resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
      });
      this.members.push({ worker, port });
      await this.started(worker, place);
      worker.unref();
    } catch (error) {
      throw this.failureOf(place, `can't be started: ${messageOf(error)}`, error);
    }
  }

  private started(worker: Worker, place: number): Promise<void> {
    return new Promise((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', (error) => {
        reject(error);
        this.fail(place, `failed: ${messageOf(error)}`, error);
      });
      worker.once('exit', (code) => {
        reject(new Error(`it ended with code ${code}`));
        this.fail(place, `ended with code ${code}`);
      });
    });
  }

  private async call(memory: number, kernel: number, args: readonly number[]): Promise<number> {
    const { words } = this;
    const { call, called, callMemory, callArgs, result } = CREW_WORDS;
    if (this.isCalling || kernel < 0 || args.length > MAX_CALL_ARGS)
      throw new Error('a call that the stand-in can not make');
    this.check(0);
    words.set([memory, kernel, args.length], callMemory);
    words.set(args, callArgs);
    const number = Atomics.add(words, call, 1) + 1;
    const standIn = this.members.at(-1)!.worker;
    this.isCalling = true;
    this.exports.forEach((own) => own.workAlone(true));
    standIn.ref();
    try {
      Atomics.notify(words, call);
      for (let done = Atomics.load(words, called); done !== number; done = Atomics.load(words, called)) {
        this.check(0);
        await Atomics.waitAsync(words, called, done).value;
      }
      return Atomics.load(words, result);
    } finally {
      standIn.unref();
      // After a failure helpers may still be at the chunks of this call, in words that a further region would take.
      if (this.failure === null) this.exports.forEach((own) => own.workAlone(false));
      this.isCalling = false;
    }
  }

  /** @throws ExpertError THREAD_FAILED where a thread did */
  private check(numSeconds: number): void {
    const place = Atomics.load(this.words, CREW_WORDS.failed);
    if (place !== 0) this.fail(place, `failed: ${this.lastWords(place)}`);
    if (numSeconds >= MAX_WAIT_SECONDS) this.fail(0, `did no work for ${MAX_WAIT_SECONDS} s`);
    if (this.failure !== null) throw this.failure;
  }

  /** What a thread said before it ended. */
  private lastWords(place: number): string {
    const said = receiveMessageOnPort(this.members[place - 1]!.port)?.message as CrewFailure | undefined;
    return said?.message ?? 'it said nothing';
  }

  private fail(place: number, what: string, cause?: unknown): void {
    if (this.failure !== null) return;
    this.failure = this.failureOf(place, what, cause);
    this.tell(this.failure);
    Atomics.notify(this.words, CREW_WORDS.called);
  }

  private failureOf(place: number, what: string, cause?: unknown): ExpertError {
    const which = place === 0 ? 'a thread' : `thread ${place} of ${this.numThreads}`;
    const text = `${which} that computes for this rank ${what}; start the job again, or with parallel.threads: 1`;
    return new ExpertError('THREAD_FAILED', text, { cause });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
