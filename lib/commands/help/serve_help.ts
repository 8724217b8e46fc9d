/** Help on commands that serve a model, and on those that speak to a server. */
import type { CommandHelp } from './command_help.js';

/** By their names. */
export const SERVE_HELP: Readonly<Record<string, CommandHelp>> = {
  serve: {
    when: "To put a model behind HTTP until Ctrl-C: completions, chats and responses as OpenAI's clients ask for them, metrics at /metrics as vLLM names them, and at the address itself a live page of ranks, experts and requests. It listens at this machine alone unless --host says otherwise; then give --api-key-file too.",
    examples: [
      { says: 'On two ranks; a browser finds the live page', line: 'expertwire serve --model models/moe-7m --ranks 2' },
      {
        says: 'With experts that move while it serves, as their load changes',
        line: 'expertwire serve --model models/moe-7m --ranks 2 --set load_balance.enabled=true',
      },
      {
        says: 'Tuned for conversations, for other machines, which need a key',
        line: 'expertwire serve --config configs/scenarios/chat.yaml --host 0.0.0.0 --api-key-file keys.txt',
      },
      {
        says: 'With batches (POST /v1/batches) that outlive it: started anew it goes on with them',
        line: 'expertwire serve --model models/moe-7m --set server.batches.folder=batches',
      },
      {
        says: 'With ranks of another machine',
        line: 'expertwire serve --model DIR --ranks 1 --listen 0.0.0.0:7077 --wait-ranks 1 --secret-file secret.txt',
      },
    ],
    see: ['docs/serving.md', 'docs/metrics.md', 'docs/page.md', 'docs/elastic.md'],
  },
  cluster: {
    when: 'To run several instances of a model, each with ranks of its own, behind one address: the router sends a request to whoever has its beginning cached, and moves it where an instance dies or drains. One file says what there is; Ctrl-C ends all of it.',
    examples: [
      {
        says: 'One that computes prompts, and two that go on with what comes behind them',
        line: 'expertwire cluster configs/cluster_pd.yaml',
      },
      {
        says: 'The same file with another policy',
        line: 'expertwire cluster configs/cluster_mixed.yaml --policy least_load',
      },
    ],
    see: ['docs/cluster.md'],
  },
  route: {
    when: 'To put a router before servers that run already: ours, those of others, or whoever says on a bus that it is there.',
    examples: [
      {
        says: 'Before two servers, by their load',
        line: 'expertwire route --url http://10.0.0.1:8000 --url http://10.0.0.2:8000 --policy least_load',
      },
      { says: 'Before the instances of a bus', line: 'expertwire route --bus nats://10.0.0.1:4222 --port 9000' },
    ],
    see: ['docs/cluster.md'],
  },
  scale: {
    when: 'To change the number of ranks of a server while it serves: experts and caches move, streams go on. The server needs room for them (parallel.max_ranks).',
    examples: [
      { says: 'Four ranks from now on', line: 'expertwire scale 4' },
      {
        says: 'Two, on a server elsewhere',
        line: 'expertwire scale 2 --url http://10.0.0.1:8000 --api-key-file key.txt',
      },
    ],
    see: ['docs/elastic.md'],
  },
  kv: {
    when: 'To see what a server keeps of earlier requests: ls lists where keys and values lie and how often they were found, clear has them forgotten. With --path it reads the folder of a disk tier whose server is stopped.',
    examples: [
      { says: 'What a server keeps', line: 'expertwire kv ls --url http://127.0.0.1:8000' },
      { says: 'What a folder has, for a program', line: 'expertwire kv ls --path /var/cache/expertwire --json' },
      { says: 'Forget it', line: 'expertwire kv clear' },
    ],
    see: ['docs/kv.md'],
  },
};
