/** Help on benchmarks of servers, and of jobs that something befalls. */
import type { BenchHelp } from './bench_help.js';

/** By name. */
export const JOB_BENCHES: Readonly<Record<string, BenchHelp>> = {
  chaos: {
    title: 'A job under load with random faults: stalls, recovery, and the same tokens.',
    when: 'Run it before you trust a job with ranks that may die: what each fault holds up, how long until all experts are there again, and that every token is that of an undisturbed run. A seed draws the faults.',
    examples: [
      { says: 'Two ranks are killed, two join', line: 'expertwire bench chaos --seed 7 --kill 2 --join 2' },
      {
        says: 'Faults that fall together, with replicas, and figures in a file',
        line: 'expertwire bench chaos --kill 3 --join 3 --when together,recovering --redundant 8 --json chaos.json',
      },
    ],
  },
  cluster: {
    title: 'Many instances: moving requests, prompts computed elsewhere, the router.',
    when: 'Run it to learn what a second instance costs and brings: each measurement stands beside leaving it out.',
    examples: [
      { says: 'All four measurements', line: 'expertwire bench cluster' },
      { says: 'Requests that move, more rounds', line: 'expertwire bench cluster --only migration --rounds 9' },
      {
        says: 'Prompts computed elsewhere, over 10 Gbit/s',
        line: 'expertwire bench cluster --only handover --link-mbit 10000 --prompt-tokens 2048',
      },
    ],
  },
  experiment: {
    title: 'What the runner of experiments adds to a run, against the same command by hand.',
    when: 'Run it after a change to how runs are started and recorded, or to know how short a run may be before its process costs more than what it measures.',
    examples: [
      { says: 'One rank, nine rounds', line: 'expertwire bench experiment --ranks 1 --rounds 9' },
      { says: 'A model of your own', line: 'expertwire bench experiment --model models/moe-7m --new-tokens 64' },
      {
        says: 'Runs in line on a bus, beside those that this machine runs itself',
        line: 'expertwire bench experiment --bus nats://127.0.0.1:4222',
      },
    ],
  },
  jobs: {
    title:
      'Jobs over NATS and in a folder: what a run in line costs, shards per second, jobs that are due each second.',
    when: 'Run it before you cut a job into thousands of shards, or have one due each second: what the bus, the leader and the workers add to what they run, on this machine. It wants a nats-server on the PATH.',
    examples: [
      { says: 'All three measurements over both buses', line: 'expertwire bench jobs' },
      {
        says: 'Ten minutes of a job each second',
        line: 'expertwire bench jobs --only triggers --buses nats --seconds 600',
      },
      {
        says: 'A thousand shards in one process',
        line: 'expertwire bench jobs --only tasks --buses local --tasks 1000',
      },
    ],
  },
  launch: {
    title: 'Jobs of ranks under Slurm, Open MPI, MPICH and torchrun: how long until the first token.',
    when: 'Run it to know what a launcher adds to the start of a job, against the same command by hand. Launchers that are not installed are said.',
    examples: [
      { says: 'Eight ranks under each that is there', line: 'expertwire bench launch' },
      { says: 'Two of them, four ranks', line: 'expertwire bench launch --only hand,mpich --ranks 4 --rounds 3' },
    ],
  },
  resume: {
    title: 'A server that is killed while it streams: how long until the next one goes on.',
    when: 'Run it to choose between ranks that outlive their head and ranks that are started anew.',
    examples: [{ says: 'One round on two ranks', line: 'expertwire bench resume --ranks 2 --rounds 1' }],
  },
  scale: {
    title: 'A job whose ranks become more and fewer under load: time, stalls, same tokens.',
    when: 'Run it to know what a change of size holds up, with and without spare ranks.',
    examples: [
      { says: 'Two ranks, four, two, three', line: 'expertwire bench scale --sizes 2,4,2,3' },
      { says: 'With spare ranks that have loaded already', line: 'expertwire bench scale --sizes 2,3 --spares 1' },
    ],
  },
  scenarios: {
    title: 'configs/scenarios against the loads of all of them: what each trades for what.',
    when: 'Run it to choose the configuration of a server by its load, or to put one of yours beside them.',
    examples: [
      {
        says: 'Chat against batches, with few requests',
        line: 'expertwire bench scenarios --configs chat,batch --num-prompts 16',
      },
      {
        says: 'A configuration of yours, which has a load',
        line: 'expertwire bench scenarios --configs chat,mine.yaml',
      },
    ],
  },
  serve: {
    title: 'Load on any server of the OpenAI API, with the definitions of vllm bench serve.',
    when: 'Run it against a server that runs: open-loop arrivals, TTFT, TPOT, ITL, and goodput at targets. Latency under load is a question of the rate: raise it until goodput falls.',
    examples: [
      { says: 'All requests at once', line: 'expertwire bench serve --url http://127.0.0.1:8000 --num-prompts 32' },
      {
        says: 'Four requests a second, and how many meet targets in milliseconds',
        line: 'expertwire bench serve --request-rate 4 --goodput ttft:200 tpot:50',
      },
      {
        says: 'Conversations of several turns, drawn over time',
        line: 'expertwire bench serve --dataset turns --num-turns 4 --think-ms 500 --plot serve.html --json serve.json',
      },
    ],
  },
};
