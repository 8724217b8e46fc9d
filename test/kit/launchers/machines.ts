/** Machines that are network namespaces with addresses of their own, IPv4 and IPv6, on one bridge. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';

/** Interface of each machine. */
const PORT = 'eth0';

/** Some machines of one network. Made by {@link Machines.make}. */
export class Machines {
  private constructor(
    private readonly bridge: string,
    /** Namespaces, by machine. */
    readonly names: readonly string[],
  ) {}

  /** @throws Error: this system permits none */
  static make(count: number): Machines {
    const id = randomBytes(3).toString('hex'); // names are unique, and short enough for an interface
    const names = Array.from({ length: count }, (_, i) => `ew${i}-${id}`);
    const machines = new Machines(`ewb-${id}`, names);
    try {
      machines.connect();
      return machines;
    } catch (error) {
      machines.remove();
      throw error;
    }
  }

  ipv4(machine: number): string {
    return `10.213.78.${machine + 1}`;
  }

  ipv6(machine: number): string {
    return `fd00:e3::${machine + 1}`;
  }

  /** What runs a command on a machine: the first words of its line. */
  on(machine: number): readonly string[] {
    return ['ip', 'netns', 'exec', this.names[machine]!];
  }

  /** Its cable is pulled, or put in again. */
  cable(machine: number, state: 'up' | 'down'): void {
    ip('-n', this.bridge, 'link', 'set', `port${machine}`, state);
  }

  remove(): void {
    for (const name of [this.bridge, ...this.names]) {
      try {
        ip('netns', 'delete', name);
      } catch {
        // it was never made
      }
    }
  }

  private connect(): void {
    const { bridge } = this;
    for (const name of [bridge, ...this.names]) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('-n', bridge, 'link', 'add', 'bridge', 'type', 'bridge');
    ip('-n', bridge, 'link', 'set', 'bridge', 'up');
    for (const [i, name] of this.names.entries()) {
      const port = `port${i}`;
      ip('-n', bridge, 'link', 'add', port, 'type', 'veth', 'peer', 'name', PORT, 'netns', name);
      ip('-n', bridge, 'link', 'set', port, 'master', 'bridge', 'up');
      ip('-n', name, 'address', 'add', `${this.ipv4(i)}/24`, 'dev', PORT);
      ip('-n', name, 'address', 'add', `${this.ipv6(i)}/64`, 'dev', PORT, 'nodad');
      ip('-n', name, 'link', 'set', PORT, 'up');
    }
  }
}

const ip = (...args: string[]): Buffer => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
