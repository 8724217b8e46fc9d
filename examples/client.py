"""Asks a server with OpenAI's client (pip install openai): first `npx expertwire serve --model models/moe-7m`, then this with the URL if it is another."""

import sys

from openai import BadRequestError, OpenAI

base_url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/v1"
client = OpenAI(base_url=base_url, api_key=sys.argv[2] if len(sys.argv) > 2 else "none")

model = client.models.list().data[0].id
print(f"model: {model}")

# A chat, written while it comes.
messages = [{"role": "user", "content": "Call me"}]
for chunk in client.chat.completions.create(model=model, messages=messages, max_completion_tokens=24, temperature=0, stream=True):
    print(chunk.choices[0].delta.content or "", end="")
print()

# Fields that OpenAI doesn't have go into extra_body.
completion = client.completions.create(
    model=model, prompt="Call me", max_tokens=4, temperature=0, logprobs=2, extra_body={"return_routed_experts": True}
)
choice = completion.choices[0]
print(f"text: {choice.text!r}")
for token, logprob in zip(choice.logprobs.tokens, choice.logprobs.token_logprobs):
    print(f"token {token!r}: {logprob:.3f}")
print(f"experts of the last token: {choice.routed_experts[-1]}")

response = client.responses.create(model=model, input="Call me", max_output_tokens=8, temperature=0)
print(f"response: {response.output_text!r} ({response.status})")

try:
    client.completions.create(model=model, prompt="Call me", temperature=-1)
except BadRequestError as error:
    print(f"refused: {error.code}, {error.param}")
