/** What a model folder has beside config.json and weights: tokenizer, generation_config.json, chat template, code, licence. */
import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Files that belong to the weights that aren't taken over: weights in any form, their index, and what is said of their codes. */
const OF_WEIGHTS = [
  /\.(safetensors|bin|pt|pth|ckpt|gguf|onnx|h5|msgpack|npz)$/,
  /\.index\.json$/,
  /^(hf_quant_config|quantize_config|quant_config|config)\.json$/,
];

/** Folders of more chat templates; all others hold weights in other forms, or what a tool left. */
const TEMPLATE_FOLDER = 'additional_chat_templates';

/** Whether a file of a model folder is taken over as it is. Hidden files are not: they are those of tools. */
export const isCompanion = (name: string): boolean =>
  !name.startsWith('.') && !OF_WEIGHTS.some((pattern) => pattern.test(name));

/** What files beside config.json say of codes. */
const OF_CODES = ['hf_quant_config.json', 'quantize_config.json', 'quant_config.json'];

/** Copies them, links as what they lead to, into an existing folder. `keepsCodes`: what is said of codes too. @throws whatever the file system does */
export async function copyCompanions(from: string, to: string, keepsCodes = false): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const { name } = entry;
    const isTaken = entry.isDirectory()
      ? name === TEMPLATE_FOLDER
      : isCompanion(name) || (keepsCodes && OF_CODES.includes(name));
    if (isTaken) await cp(join(from, name), join(to, name), { recursive: true, dereference: true });
  }
}
