"""Names and shapes of a checkpoint's tensors, written short: `model.layers.{1-2}.mlp.experts.{0-7}.up_proj.weight`."""

import re
from itertools import groupby
from typing import Callable

Shapes = dict[str, list[int]]


def braced(shapes: dict, key_of: Callable = tuple) -> dict:
    """Tensors of one shape, or of what else there is of them, whose names differ in numbers alone become one entry with lists of those numbers in braces."""
    patterns: dict[tuple, tuple[list, set[tuple[int, ...]]]] = {}
    for name, shape in shapes.items():
        numbers = tuple(int(number) for number in re.findall(r"(?<=\.)\d+(?=\.)", name))
        key = (re.sub(r"(?<=\.)\d+(?=\.)", "{}", name), key_of(shape))
        patterns.setdefault(key, (shape, set()))[1].add(numbers)
    return {pattern.format(*lists): shape for (pattern, _), (shape, numbers) in patterns.items() for lists in _products(numbers)}


def difference(base: Shapes, other: Shapes) -> dict[str, list[int] | None]:
    """What other has beside or instead of base, and None for what it lacks."""
    changed = {name: shape for name, shape in other.items() if base.get(name) != shape}
    absent = {name: [] for name in base if name not in other}
    return {**{name: None for name in braced(absent)}, **braced(changed)}


def _products(numbers: set[tuple[int, ...]]) -> list[list[str]]:
    """The tuples as products of lists: those with equal rests share one."""
    if numbers == {()}:
        return [[]]
    rests: dict[frozenset, list[int]] = {}
    for first in sorted({each[0] for each in numbers}):
        rests.setdefault(frozenset(each[1:] for each in numbers if each[0] == first), []).append(first)
    return [[_list(firsts), *others] for rest, firsts in rests.items() for others in _products(set(rest))]


def _list(numbers: list[int]) -> str:
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return "{" + ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) + "}"
