"""Records what transformers makes of chat templates: what lib/tokenizer must write, to the character.

    python scripts/chats/record.py          with transformers and Jinja2, see README.md

Reads test/data/chats: expressions.json (small sources over one set of variables), templates/*.jinja over conversations.json. Writes recorded_*.json beside them.
"""

import copy
import json
import sys
from datetime import datetime
from pathlib import Path

import jinja2
import transformers
from transformers.utils import chat_template_utils

DATA = Path(__file__).resolve().parents[2] / "test" / "data" / "chats"


class FixedTime(datetime):
    """The time of every recording."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 5, 7, 8, 9)


chat_template_utils.datetime = FixedTime


def attempt(work):
    """{"text"} or {"error"}: the kind alone, and the words of raise_exception."""
    try:
        return {"text": work()}
    except jinja2.exceptions.TemplateSyntaxError:
        return {"error": "syntax"}
    except jinja2.exceptions.TemplateError as error:
        is_raised = type(error) is jinja2.exceptions.TemplateError
        return {"error": "raised", "words": str(error)} if is_raised else {"error": "failed"}
    except Exception:
        return {"error": "failed"}


def expressions():
    given = json.loads((DATA / "expressions.json").read_text("utf-8"))
    variables = given["variables"]
    sources = [source for sources in given["sources"].values() for source in sources]
    render = lambda source: chat_template_utils._compile_jinja_template(source).render(**copy.deepcopy(variables))
    return [{"source": source, **attempt(lambda: render(source))} for source in sources]


def chats():
    conversations = json.loads((DATA / "conversations.json").read_text("utf-8"))
    recorded = {}
    for file in sorted((DATA / "templates").glob("*.jinja")):
        template = file.read_bytes().decode("utf-8")
        recorded[file.stem] = {
            name: attempt(lambda: render(template, dict(conversation))) for name, conversation in conversations.items()
        }
    return recorded


def render(template, conversation):
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    # As apply_chat_template does before it renders.
    messages = chat_template_utils._normalize_chat_messages(conversation.pop("messages"))
    variables = conversation.pop("variables", {})
    if not conversation.get("continue_final_message"):
        conversation.setdefault("add_generation_prompt", True)
    texts, _ = chat_template_utils.render_jinja_template(
        conversations=[messages], chat_template=template, **conversation, **{**tokens, **variables}
    )
    return texts[0]


def main():
    print(f"transformers {transformers.__version__}, Jinja2 {jinja2.__version__}, Python {sys.version.split()[0]}")
    for name, recorded in (("expressions", expressions()), ("chats", chats())):
        text = json.dumps(recorded, ensure_ascii=False, indent=0)
        (DATA / f"recorded_{name}.json").write_text(text + "\n", "utf-8")


main()
