/**
 * Asks a server with OpenAI's client. First `npx expertwire serve --model models/moe-7m`, then, in a folder with `npm install openai tsx`:
 *   npx tsx client.ts [URL] [KEY]
 */
import OpenAI from 'openai';

const [baseURL = 'http://127.0.0.1:8000/v1', apiKey = 'none'] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });

const { data: models } = await client.models.list();
const model = models[0]!.id;
console.log(`model: ${model}`);

// A chat, written while it comes.
const stream = await client.chat.completions.create({
  model,
  messages: [{ role: 'user', content: 'Call me' }],
  max_completion_tokens: 24,
  temperature: 0,
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
process.stdout.write('\n');

// What no other server tells: the experts of every token. Fields that OpenAI doesn't have are passed on as they are.
const routed = { model, prompt: 'Call me', max_tokens: 4, temperature: 0, return_routed_experts: true };
const { choices } = await client.completions.create(routed);
const { text, routed_experts: experts } = choices[0] as unknown as { text: string; routed_experts: number[][][] };
console.log(`text: ${JSON.stringify(text)}`);
for (const [i, layers] of experts.entries()) {
  console.log(`token ${i}: experts ${layers.map((each) => each.join(',')).join(' | ')}`);
}
