/** A thread that computes for a rank; started by crew.ts. A helper takes chunks of what others call; the stand-in calls kernels itself, while the rank's thread is free. */
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { instantiate, type CrewExports } from './crew_instance.js';
import { CREW_WORDS, nextRegion, ringFor, type CrewWords } from './crew_words.js';

/** What a thread is started with. */
export interface CrewWorkerData {
  readonly module: object;
  /** What its `setTile` is told, if anything. */
  readonly tileRows: number | null;
  readonly words: CrewWords;
  /** Brings {@link CrewMemory}s, and takes a {@link CrewFailure}. */
  readonly port: MessagePort;
  readonly numThreads: number;
  readonly regionNs: number;
  /** 1 … numThreads − 1: a helper; numThreads: the stand-in. */
  readonly place: number;
  /** How long a helper looks for work before it sleeps. */
  readonly lookMs: number;
}

/** A memory to compute in. */
export interface CrewMemory {
  readonly index: number;
  readonly memory: object;
  /** Address of the thread's static areas. */
  readonly statics: number;
}

/** Why a thread ends. */
export interface CrewFailure {
  readonly message: string;
}

type Kernel = (...args: number[]) => number | undefined;

const { module, tileRows, words, port, numThreads, regionNs, place, lookMs } = workerData as CrewWorkerData;
const isStandIn = place === numThreads;
const instances: CrewExports[] = [];

/** Memories are announced before work in them is. */
function instanceAt(index: number): CrewExports {
  while (instances[index] === undefined) enter(receiveMessageOnPort(port)!.message as CrewMemory);
  return instances[index];
}

function enter({ index, memory, statics }: CrewMemory): void {
  const ring = (numHelpers: number): void => ringFor(words, index, numHelpers);
  const instance = instantiate({ module, memory, ring, checkHelpers }) as CrewExports;
  // The stand-in has the place of the thread for which it stands in.
  instance.joinCrew(numThreads, isStandIn ? 0 : place, regionNs);
  instance.useStatics(statics);
  if (tileRows !== null) instance.setTile(tileRows);
  instances[index] = instance;
}

/** What keeps the stand-in waiting ends with the rank, whose own thread sees it. */
function checkHelpers(): void {
  if (Atomics.load(words, CREW_WORDS.failed) !== 0) throw new Error('a thread that helps failed');
}

function help(): never {
  for (let seen = 0; ;) {
    seen = nextRegion(words, seen, lookMs);
    const instance = instanceAt(Atomics.load(words, CREW_WORDS.memory));
    try {
      Atomics.add(words, CREW_WORDS.numChunks, instance.takeChunks());
    } catch (error) {
      fail(error);
      instance.wakeCaller();
      throw error;
    }
  }
}

function standIn(): never {
  for (let seen = 0; ;) {
    Atomics.wait(words, CREW_WORDS.call, seen);
    const call = Atomics.load(words, CREW_WORDS.call);
    if (call === seen) continue;
    seen = call;
    try {
      Atomics.store(words, CREW_WORDS.result, callKernel() ?? 0);
    } catch (error) {
      fail(error);
      Atomics.notify(words, CREW_WORDS.called);
      throw error;
    }
    Atomics.store(words, CREW_WORDS.called, call);
    Atomics.notify(words, CREW_WORDS.called);
  }
}

function callKernel(): number | undefined {
  const { callMemory, callKernel: at, callNumArgs, callArgs } = CREW_WORDS;
  const instance = instanceAt(words[callMemory]!);
  const kernel = Object.values(instance)[words[at]!] as Kernel;
  return kernel(...words.subarray(callArgs, callArgs + words[callNumArgs]!));
}

function fail(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  port.postMessage({ message } satisfies CrewFailure);
  Atomics.compareExchange(words, CREW_WORDS.failed, 0, place);
}

parentPort!.postMessage('ready');
if (isStandIn) standIn();
else help();
