/** Help on jobs and who does them. */
import type { CommandHelp } from './command_help.js';

/** By their names. */
export const JOBS_HELP: Readonly<Record<string, CommandHelp>> = {
  jobs: {
    when: 'For work that is done again and again, by a clock, behind other work, or on many machines: experiments, batches of requests, commands of expertwire and rebalances, as a graph whose nodes are cut into shards. A file says what is to be done; apply keeps it, with all that it names; workers (expertwire worker) do it. Each shard takes effect once, whatever dies meanwhile. Without --bus all is kept in a folder, for one machine.',
    examples: [
      { says: 'Check a file and keep its jobs', line: 'expertwire jobs apply configs/jobs/nightly.yaml' },
      { says: 'Run one now, and wait for its end', line: 'expertwire jobs run nightly --wait' },
      { says: 'What there is, and how the last runs ended', line: 'expertwire jobs ls' },
      { says: 'What a run says, until it ends', line: 'expertwire jobs logs nightly --follow' },
      {
        says: 'Its files; those of an experiment are what report takes',
        line: 'expertwire jobs fetch nightly --output results',
      },
      { says: 'Go on with what failed of the last run', line: 'expertwire jobs run nightly --resume nightly' },
      { says: 'Workers of a bus', line: 'expertwire jobs ls --workers --bus nats://10.0.0.1:4222' },
    ],
    see: ['docs/jobs.md'],
  },
  worker: {
    when: "On each machine that is to do jobs: it takes shards, runs each in a folder and a process of its own, and brings back files and logs. One of the workers leads: it begins runs when they are due. It runs expertwire's own commands alone, reads models and writes nothing outside of the shard's folder. SIGTERM lets it finish what it has in hand, or give it back; Ctrl-C gives it back at once.",
    examples: [
      { says: 'On one machine, two shards at a time', line: 'expertwire worker --parallel 2' },
      {
        says: 'One of many, with credentials of the environment (NATS_USER and NATS_PASSWORD, NATS_CREDS, …)',
        line: 'expertwire worker --bus nats://10.0.0.1:4222 --models /data/models',
      },
    ],
    see: ['docs/jobs.md'],
  },
};
