"""Random templates of a grammar, and what transformers' Jinja2 makes of each: a JSON list for fuzz.mjs.

    python fuzz.py SEED COUNT
"""

import copy
import json
import random
import re
import sys
import warnings
from pathlib import Path

from transformers.utils import chat_template_utils

GIVEN = json.loads((Path(__file__).resolve().parents[2] / "test/data/chats/expressions.json").read_text("utf-8"))
VARIABLES = GIVEN["variables"]
METHODS = ["upper()", "strip()", "split()", "split('l')", "title()", "splitlines()", "startswith('H')", "replace('l', 'LL')", "get('b')", "items()", "keys()", "count('a')", "index(1)", "isdigit()", "rsplit(none, 1)", "format(1, 2)"]
FILTERS = ["upper", "length", "list", "first", "last", "tojson", "string", "int", "float", "sort", "unique|list", "reverse|list", "join(',')", "trim", "title", "capitalize", "default('d')", "default('d', true)", "abs", "round", "round(1)", "sum", "min", "max", "map('string')|list", "select|list", "reject('none')|list", "items|list", "dictsort", "tojson(indent=2)", "indent(2, true)", "batch(2)|list", "replace('a', 'b')", "truncate(5)", "center(9)", "map(attribute='name')|list", "selectattr('age')|list", "wordcount", "format(1)", "groupby('age')|list"]
TESTS = ["defined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "odd", "even", "true", "divisibleby 2", "eq 1", "in [1, 'a']", "lower", "callable", "gt 1"]
LITERALS = ["1", "0", "-2", "2.5", "1.0", "'a'", "''", "'Hello World'", "none", "true", "false", "[]", "{}", "()", "1e3", "[1, 'a', none]", "{'a': 1, 2: 'b'}", "(1, 2)", "'%s-%s'", "'é😀'", "0.1", "10000000000"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">=", "in", "not in", "and", "or"]  # no powers: they never end


warnings.simplefilter("ignore")


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def expression(self, depth):
        if depth == 0:
            return self.random.choice([*LITERALS, *VARIABLES, "missing", "x", "ns.a"])
        pick, inner = self.random.choice, lambda: self.expression(depth - 1)
        return pick([
            lambda: f"({inner()} {pick(OPERATORS)} {inner()})",
            lambda: f"{inner()} {pick(OPERATORS)} {inner()}",
            lambda: f"({inner()})|{pick(FILTERS)}",
            lambda: f"{inner()}|{pick(FILTERS)}|{pick(FILTERS)}",
            lambda: f"({inner()}).{pick(METHODS)}",
            lambda: f"({inner()} is {pick(['', 'not '])}{pick(TESTS)})",
            lambda: f"({inner()} if {inner()} else {inner()})",
            lambda: f"({inner()})[{pick(['0', '-1', repr('a')])}]",
            # Jinja2 computes slices of constants beforehand, by other rules.
            lambda: f"{pick(list(VARIABLES))}[{pick(['1:', '::-1', ':2', '1:5:2'])}]",
            lambda: f"not {inner()}",
            lambda: f"-{inner()}",
            lambda: f"[{inner()}, {inner()}]",
            lambda: f"{{'k': {inner()}, 3: {inner()}}}",
            lambda: f"({inner()}, {inner()})",
            lambda: f"'%s|%r' % ({inner()}, {inner()})",
            lambda: f"'{{}}:{{:>6}}'.format({inner()}, {inner()})",
        ])()

    def text(self):
        return self.random.choice(["", " ", "\n", "a", "  \n\t", "b\n", " c ", "\r\n"])

    def tag(self, content):
        return "{%" + self.random.choice(["", "", "-", "+"]) + f" {content} " + self.random.choice(["", "", "-"]) + "%}"

    def body(self, depth):
        return "".join(self.text() + self.statement(depth) for _ in range(self.random.randint(1, 3))) + self.text()

    def statement(self, depth):
        value = self.expression(self.random.randint(0, 2))
        if depth == 0:
            return "{{" + self.random.choice(["", "-"]) + f" {value} " + self.random.choice(["", "-"]) + "}}"
        body = lambda: self.body(depth - 1)
        return self.random.choice([
            lambda: self.tag(f"if {value}") + body() + self.tag("else") + body() + self.tag("endif"),
            lambda: self.tag(f"for x in {value}") + body() + "{{ loop.index }}" + self.tag("endfor"),
            lambda: self.tag(f"for x in {value} if x") + "{% if loop.last %}{% break %}{% endif %}" + body() + self.tag("else") + body() + self.tag("endfor"),
            lambda: self.tag(f"set x = {value}") + body(),
            lambda: self.tag("set x") + body() + self.tag("endset") + "[{{ x }}]",
            lambda: self.tag(f"set ns = namespace(a={value})") + body(),
            lambda: self.tag("macro m(x, y=1)") + body() + self.tag("endmacro") + "{{ m(%s) }}" % value,
            lambda: self.tag("filter upper") + body() + self.tag("endfilter"),
            lambda: self.tag("generation") + body() + self.tag("endgeneration"),
            lambda: "{#" + self.random.choice(["-", "", "+"]) + " c " + self.random.choice(["-", ""]) + "#}" + body(),
            lambda: self.statement(0),
        ])()


def result(source):
    try:
        return {"text": chat_template_utils._compile_jinja_template(source).render(**copy.deepcopy(VARIABLES))}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    seed, count = map(int, sys.argv[1:])
    grammar = Grammar(seed)
    sources = [grammar.body(grammar.random.randint(0, 2)) for _ in range(count)]
    results = [{"source": source, **result(source)} for source in sources]
    # An address tells nothing.
    print(json.dumps([each for each in results if not re.search(r" at 0x|<built-in", each.get("text", ""))]))


main()
