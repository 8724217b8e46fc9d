/** What a loop's body sees as `loop`. */
import { Parameters } from './values/arguments.js';
import { isEqual } from './values/compare.js';
import { failed } from './values/errors.js';
import { Attributed, Callable, Undefined, type Arguments, type Value } from './values/values.js';

/** Where a loop stands. */
export class LoopState {
  /** Of the present item. */
  index = 0;
  private changedFrom: readonly Value[] | null = null;
  /** As the template sees it. */
  readonly value: Attributed;

  /**
   * @param depth 1 of an outermost loop
   * @param again runs a recursive loop's body over other items; null where the loop isn't recursive
   */
  constructor(
    private readonly items: readonly Value[],
    private readonly depth: number,
    again: ((items: Value) => string) | null,
  ) {
    this.value = new Attributed(
      'LoopContext',
      (name) => this.attribute(name),
      undefined,
      (args) => {
        if (again === null) throw failed("The loop must have the 'recursive' marker for recursion");
        return again(new Parameters('loop', args, ['iterable'], 1).value('iterable')!);
      },
    );
  }

  private attribute(name: string): Value | undefined {
    const { index, items } = this;
    switch (name) {
      case 'index':
        return BigInt(index + 1);
      case 'index0':
        return BigInt(index);
      case 'revindex':
        return BigInt(items.length - index);
      case 'revindex0':
        return BigInt(items.length - index - 1);
      case 'first':
        return index === 0;
      case 'last':
        return index === items.length - 1;
      case 'length':
        return BigInt(items.length);
      case 'depth':
        return BigInt(this.depth);
      case 'depth0':
        return BigInt(this.depth - 1);
      case 'previtem':
        return index > 0 ? items[index - 1]! : new Undefined('there is no previous item');
      case 'nextitem':
        return index + 1 < items.length ? items[index + 1]! : new Undefined('there is no next item');
      case 'cycle':
        return new Callable(name, (args) => this.cycle(args));
      case 'changed':
        return new Callable(name, (args) => this.changed(args));
      default:
        return undefined;
    }
  }

  private cycle({ positional }: Arguments): Value {
    if (positional.length === 0) throw failed('no items for cycling given');
    return positional[this.index % positional.length]!;
  }

  /** Whether the values are others than those of the last call. */
  private changed({ positional }: Arguments): boolean {
    const last = this.changedFrom;
    const isSame = last?.length === positional.length && positional.every((value, i) => isEqual(value, last[i]!));
    if (!isSame) this.changedFrom = positional;
    return !isSame;
  }
}
