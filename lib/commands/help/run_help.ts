/** Help on commands that run a model and end with it. */
import type { CommandHelp } from './command_help.js';

/** By their names. */
export const RUN_HELP: Readonly<Record<string, CommandHelp>> = {
  generate: {
    when: 'The command for experiments by hand: it starts the ranks, continues all prompts at once, prints the texts in their order, and ends. Decoding is greedy unless --temperature or another option of sampling says otherwise. On a terminal a summary follows: speed, bytes between ranks, and how often each expert was chosen. For many runs that are compared see expertwire experiment; for clients see expertwire serve.',
    examples: [
      {
        says: 'Continue a prompt with the small model of this package, on two ranks',
        line: "expertwire generate --model models/moe-7m --ranks 2 --prompt 'Call me Ishmael. Some years ago'",
      },
      {
        says: 'Four kinds of text, which experts each of them heats, and a picture of it',
        line: 'expertwire generate --config configs/demo.yaml --plot heat.svg',
      },
      {
        says: 'Sampled instead of greedy, the same text for the same seed whatever the ranks',
        line: "expertwire generate --model models/moe-7m --prompt 'It was' --temperature 0.8 --top-p 0.9 --seed 7",
      },
      {
        says: 'Everything that the engine counts, for a program: one object a prompt, then the statistics',
        line: "expertwire generate --model models/moe-7m --prompt 'It was' --json",
      },
      {
        says: 'What each rank did when, and which rows went where, for ui.perfetto.dev',
        line: 'expertwire generate --config configs/demo.yaml --trace trace.json',
      },
      {
        says: 'Record what the gates choose, then run under a synthetic load instead',
        line: 'expertwire generate --config configs/demo.yaml --record load.jsonl.gz --record-mode per_pass',
      },
    ],
    see: ['docs/configuration.md', 'docs/hooks.md', 'docs/plugins.md'],
  },
  chat: {
    when: 'To talk to a model: answers stream, and /help lists what else can be typed, such as /experts, which colours each token by its expert. Without --url it starts an engine of its own; with --url it asks any server of the OpenAI API.',
    examples: [
      { says: 'An engine of your own', line: 'expertwire chat --model DIR --ranks 2' },
      { says: 'A server that runs', line: 'expertwire chat --url http://127.0.0.1:8000' },
      {
        says: 'Told beforehand what it is, and sampled',
        line: "expertwire chat --model DIR --system 'Answer in one sentence.' --temperature 0.7",
      },
    ],
    see: ['docs/chat.md'],
  },
  score: {
    when: 'To compare models or settings without sampling: the text is fed to the model, nothing is generated. Perplexity says how well the model expects the text; --logits keeps every number, for whoever compares them elsewhere.',
    examples: [
      {
        says: 'Perplexity of a text, and which experts it is routed to',
        line: "expertwire score --model models/moe-7m --text 'And the LORD spake unto Moses'",
      },
      {
        says: 'The same with int8 on the wire, to see what that costs',
        line: 'expertwire score --model models/moe-7m --ranks 2 --file text.txt --set comm.wire.dispatch=int8 --json',
      },
      {
        says: 'All logits as float32',
        line: 'expertwire score --model models/moe-7m --ids 5,17,3 --logits logits.npy',
      },
    ],
    see: ['docs/configuration.md'],
  },
};
