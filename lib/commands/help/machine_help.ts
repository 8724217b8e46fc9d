/** Help on commands about ranks and the machines that they run on. */
import type { CommandHelp } from './command_help.js';

/** By their names. */
export const MACHINE_HELP: Readonly<Record<string, CommandHelp>> = {
  rank: {
    when: 'On every further machine of a job: it joins the head that listens (--listen of generate, serve or score), reads its experts from the model folder of this machine, and ends with the job. Head and ranks know each other by a secret, from a file or the environment.',
    examples: [
      { says: 'One rank', line: 'expertwire rank --head 10.0.0.1:7077 --model DIR --secret-file secret.txt' },
      {
        says: 'Two ranks that are started again when they are lost',
        line: 'expertwire rank --head 10.0.0.1:7077 --model DIR --nproc 2 --restart --secret-file secret.txt',
      },
    ],
    see: ['docs/elastic.md', 'docs/configuration.md'],
  },
  launch: {
    when: 'The same line on every machine of a job: it runs the command with head and ranks where this machine belongs. Slurm, MPI, torchrun and Kubernetes say in the environment which machine that is; elsewhere --nnodes, --node-rank and --head do, or --hosts starts all by ssh. A command comes behind two dashes; without one the demo runs. ./launch.sh is the same, and installs and builds first.',
    examples: [
      {
        says: 'The first of two machines; the other has --node-rank 1',
        line: 'expertwire launch my.yaml --nnodes 2 --node-rank 0 --nproc-per-node 2 --head 10.0.0.1:7077',
      },
      {
        says: 'The head here, two ranks on each of two hosts by ssh',
        line: 'expertwire launch my.yaml --hosts a,b --nproc-per-node 2',
      },
      {
        says: 'A command of its own, ranks where the launcher has them',
        line: 'expertwire launch -- serve --model DIR',
      },
    ],
    see: ['docs/configuration.md'],
  },
  manifest: {
    when: 'To run on Kubernetes: it prints the objects of a job of ranks (an indexed Job, or a LeaderWorkerSet that serves), of servers or of workers of jobs, for kubectl apply. What they need beside them, a Secret or a claim with models, stands above them as a comment. The image is made by the Dockerfile of a clone.',
    examples: [
      {
        says: 'Four pods that write a text, and end',
        line: "expertwire manifest job --ranks 4 -- generate --model models/moe-7m --prompt 'Call me Ishmael.'",
      },
      {
        says: 'Two engines of three pods each behind one Service',
        line: 'expertwire manifest leader-worker-set --replicas 2 --ranks 3 --claim models -- serve --model /models/moe',
      },
      {
        says: 'A server with eight cores',
        line: 'expertwire manifest serve --cpus 8 --memory 16Gi -- serve --model models/moe-7m',
      },
      {
        says: 'Workers of jobs',
        line: 'expertwire manifest workers --replicas 4 --bus nats://nats:4222 --env-secret nats',
      },
    ],
    see: ['docs/kubernetes.md'],
  },
  doctor: {
    when: 'First on a new machine, and when something is slower than it should be: which backends load and which is taken, how the kernels compute here, cores, memory and versions.',
    examples: [
      { says: 'For you', line: 'expertwire doctor' },
      { says: 'For a bug report or a program', line: 'expertwire doctor --json' },
    ],
    see: ['docs/backends.md'],
  },
  native: {
    when: "To compute with TensorFlow's own library, or on an NVIDIA GPU: it is fetched and built once into the user's cache; backend: auto then takes it. The kernels in WebAssembly need none of it.",
    examples: [
      { says: 'For processors', line: 'expertwire native install' },
      { says: 'For an NVIDIA GPU', line: 'expertwire native install --gpu' },
      { says: 'Take it away again', line: 'expertwire native install --remove' },
    ],
    see: ['docs/backends.md'],
  },
  completion: {
    when: 'Once per shell: the script that it prints has the shell ask expertwire what may come next, so commands, options, their values, benchmarks and keys of --set are those of the version that is installed.',
    examples: [
      { says: 'In bash, from the next one on', line: 'expertwire completion bash >> ~/.bashrc' },
      { says: 'In zsh', line: 'expertwire completion zsh >> ~/.zshrc' },
      { says: 'In fish', line: 'expertwire completion fish > ~/.config/fish/completions/expertwire.fish' },
    ],
  },
};
