import { expect } from 'chai';
import fc from 'fast-check';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, type ConfigErrorCode } from '../../../lib/config/errors.js';
import { loadConfig, type LoadConfigOptions } from '../../../lib/config/load.js';
import { configSchema, DEFAULTS } from '../../../lib/config/schema.js';
import { Engine, type EngineOptions } from '../../../lib/head/engine.js';
import { moe7m, repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** Loads a file of this text, whose name is run.yaml, with a model folder `m` beside it. */
async function loadText(text: string, options: LoadConfigOptions = {}) {
  return withTempFolder(async (cwd) => {
    await mkdir(join(cwd, 'm'));
    await writeFile(join(cwd, 'run.yaml'), text);
    return loadConfig({ file: 'run.yaml', cwd, ...options });
  });
}

const loadSet = (...overrides: readonly string[]) => loadConfig({ base: { model: moe7m() }, overrides });

describe('configuration', () => {
  it('a file that names only the model gives the defaults', async () => {
    const { model, ...rest } = await loadText('model: m');
    expect(model).to.match(/\/m$/);
    expect(rest).to.deep.equal(DEFAULTS);
  });

  it('a model may be a name that the hub’s cache holds; a folder of that path goes before it', async () => {
    await withTempFolder(async (cwd) => {
      const commit = 'c'.repeat(40);
      const repo = join(cwd, 'hub', 'models--org--name');
      const snapshot = join(repo, 'snapshots', commit);
      await mkdir(snapshot, { recursive: true });
      await mkdir(join(repo, 'refs'));
      await writeFile(join(repo, 'refs', 'main'), commit);
      // As `process.env` is: no plain object.
      const env = Object.assign(Object.create({}) as object, { HF_HUB_CACHE: join(cwd, 'hub') });
      const load = (model: string) => loadConfig({ base: { model }, cwd, env });
      expect((await load('org/name')).model).to.equal(snapshot);
      expect((await load(`org/name@${commit}`)).model).to.equal(snapshot);
      const error = await errorOf(ConfigError, () => load('org/other'));
      expect(error.message)
        .to.match(/^NOT_FOUND: .*"model" is "org\/other".*org\/other is not in the cache .*hub; /)
        .and.match(/`expertwire pull org\/other`$/);
      await mkdir(join(cwd, 'org', 'name'), { recursive: true });
      expect((await load('org/name')).model).to.equal(join(cwd, 'org', 'name'));
    });
  });

  it('values of a file, of flags and of --set override one another in this order', async () => {
    const config = await loadText('model: m\nparallel: { ranks: 2 }\nengine: { seed: 2, block_size: 8 }', {
      base: { parallel: { ranks: 3 }, engine: { seed: 3, block_size: undefined } },
      overrides: ['engine.seed=4', 'engine.seed=5'],
    });
    expect(config.parallel.ranks).to.equal(3);
    expect(config.engine).to.deep.equal({ ...DEFAULTS.engine, seed: 5, block_size: 8 });
  });

  it('a section whose keys are all commented out changes nothing', async () => {
    expect((await loadText('model: m\nparallel:\n#  ranks: 2\n')).parallel).to.deep.equal(DEFAULTS.parallel);
  });

  it('fields of the model that are set to something else are of any name, and merged key by key at any depth', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'run.yaml');
      await writeFile(
        file,
        `model: ${moe7m()}\nmodel_overrides:\n  rope_scaling: { type: yarn, factor: 2 }\n  num_experts_per_tok: 2\n`,
      );
      const overrides = ['model_overrides.rope_scaling.factor=4', 'model_overrides.q_lora_rank=null'];
      expect((await loadConfig({ file, overrides })).model_overrides).to.deep.equal({
        rope_scaling: { type: 'yarn', factor: 4 },
        num_experts_per_tok: 2,
        q_lora_rank: null,
      });
      const error = await errorOf(ConfigError, () => loadConfig({ file, overrides: ['model_overrides=3'] }));
      expect(error.message).to.contain('"model_overrides" is 3; allowed is a mapping of fields of config.json');
    });
  });

  it('the name of a host is the same in capitals', async () => {
    expect((await loadSet('server.host=LOCALHOST')).server.host).to.equal('localhost');
  });

  it('instances meet at one server of NATS, or at several', async () => {
    for (const bus of ['local', 'nats://10.0.0.1:4222', 'tls://a:4222,tls://b:4222']) {
      expect((await loadSet(`cluster.bus=${bus}`)).cluster.bus).to.equal(bus);
    }
  });

  it('the result cannot be changed', async () => {
    const config = await loadText('model: m\ngenerate: { prompts: [a] }');
    for (const part of [config, config.engine, config.generate, config.generate.prompts]) {
      expect(Object.isFrozen(part)).to.equal(true);
    }
  });

  it('every default is a value that the schema allows', () => {
    expect(configSchema.parse({ model: 'm', ...DEFAULTS })).to.deep.equal({ model: 'm', ...DEFAULTS });
  });

  it('prompts are texts, with a label or without', async () => {
    const { generate } = await loadText('model: m\ngenerate: { prompts: [one, { label: two, text: "2" }], seed: 7 }');
    expect(generate.prompts).to.deep.equal(['one', { label: 'two', text: '2' }]);
    expect(generate.seed).to.equal(7);
  });

  it('a value of --set is YAML: number, list, mapping, quoted text, null', async () => {
    const { engine, generate, parallel } = await loadSet(
      'engine.num_kv_blocks=32',
      'generate.stop=["\\n", ".", "a=b"]',
      'parallel={ ranks: 4 }',
      'generate.temperature=0.5',
      'generate.seed=null',
    );
    expect(engine.num_kv_blocks).to.equal(32);
    expect(generate.stop).to.deep.equal(['\n', '.', 'a=b']);
    expect(parallel.ranks).to.equal(4);
    expect(generate.temperature).to.equal(0.5);
    expect(generate.seed).to.equal(null);
  });

  const WRONG: readonly (readonly [
    claim: string,
    text: string,
    code: ConfigErrorCode,
    line: number,
    message: RegExp,
  ])[] = [
    [
      'an unknown key',
      'model: m\nenginee: {}',
      'UNKNOWN_KEY',
      2,
      /run\.yaml:2: there is no key "enginee" in the top level; did you mean "engine"\?/,
    ],
    [
      'an unknown key of a section',
      'model: m\nengine:\n  sed: 1',
      'UNKNOWN_KEY',
      3,
      /:3: .*did you mean "engine.seed"/,
    ],
    ['a key that misses a word', 'generate:\n  max_tokens: 1', 'UNKNOWN_KEY', 2, /"generate.max_new_tokens"/],
    ['a key at the wrong level', 'ranks: 4\nmodel: m', 'UNKNOWN_KEY', 1, /did you mean "parallel.ranks"\?/],
    ['a key in the wrong section', 'engine: { top_k: 4 }', 'UNKNOWN_KEY', 1, /did you mean "generate.top_k"\?/],
    [
      'a key without any likeness',
      'model: m\nxyzzyx: 4',
      'UNKNOWN_KEY',
      2,
      /"xyzzyx" in the top level; remove it \(its keys are model, model_overrides, plugins, backend/,
    ],
    ['a key with a dot', 'model: m\nengine.seed: 4', 'UNKNOWN_KEY', 2, /write every part of the path as a mapping/],
    ['a key of an object that JavaScript has', 'toString: 4', 'UNKNOWN_KEY', 1, /"toString"/],
    ['the prototype as a key', '__proto__: { model: m }', 'UNKNOWN_KEY', 1, /"__proto__"/],
    [
      'a section that is a number',
      'model: m\nengine: 4',
      'WRONG_TYPE',
      2,
      /"engine" is 4; give a mapping with any of max_/,
    ],
    ['a file that is a list', '- model', 'WRONG_TYPE', 1, /the configuration is \["model"\]; give a mapping/],
    ['a number as the model', 'model: 4', 'WRONG_TYPE', 1, /"model" is 4; allowed is the path/],
    ['a string as a number', 'model: m\nparallel:\n  ranks: four', 'WRONG_TYPE', 3, /"parallel.ranks" is "four"/],
    [
      'a fraction as an integer',
      'model: m\nparallel: { ranks: 1.5 }',
      'INVALID_VALUE',
      2,
      /is 1.5; allowed is an integer from 0 to 65535/,
    ],
    [
      'fewer ranks than none',
      'model: m\nparallel: { ranks: -1 }',
      'INVALID_VALUE',
      2,
      /is -1; allowed is an integer from 0 to 65535/,
    ],
    [
      'infinity',
      'model: m\ngenerate: { temperature: .inf }',
      'INVALID_VALUE',
      2,
      /is Infinity; allowed is a number ≥ 0/,
    ],
    ['no number', 'model: m\ngenerate: { top_p: .nan }', 'INVALID_VALUE', 2, /is NaN; allowed is a number > 0/],
    [
      'a value that is not a choice',
      'model: m\nbackend: wams',
      'INVALID_VALUE',
      2,
      /"wams" \(did you mean "wasm"\?\); allowed is auto, tensorflow, webgpu, wasm, cpu/,
    ],
    [
      'a scheduling policy that there is not',
      'model: m\nengine: { scheduling: fcsf }',
      'INVALID_VALUE',
      2,
      /"fcsf" \(did you mean "fcfs"\?\); allowed is fcfs/,
    ],
    [
      'neither auto nor a number',
      'model: m\nengine: { max_model_len: all }',
      'INVALID_VALUE',
      2,
      /"all"; allowed is auto or an integer from 1 to 16777216/,
    ],
    ['an old yes', 'model: m\ngenerate: { chat: yes }', 'WRONG_TYPE', 2, /is "yes"; allowed is true or false/],
    [
      'a prompt that is a number',
      'model: m\ngenerate:\n  prompts:\n    - a\n    - 4',
      'INVALID_VALUE',
      5,
      /"generate.prompts.1" is 4; allowed is a list of strings or/,
    ],
    [
      'a prompt with an unknown key',
      'model: m\ngenerate:\n  prompts:\n    - { txt: a }',
      'INVALID_VALUE',
      4,
      /allowed is a list of strings or/,
    ],
    [
      'prompts that are a text',
      'model: m\ngenerate: { prompts: a }',
      'WRONG_TYPE',
      2,
      /"generate.prompts" is "a"; allowed is a list/,
    ],
    [
      'a role that there is not',
      'model: m\ncluster: { role: prefil }',
      'INVALID_VALUE',
      2,
      /"prefil" \(did you mean "prefill"\?\); allowed is mixed, prefill, decode/,
    ],
    [
      'a bus of another kind',
      'model: m\ncluster: { bus: kafka }',
      'INVALID_VALUE',
      2,
      /"cluster.bus" is "kafka"; allowed is local, or nats:\/\/HOST:PORT/,
    ],
    ['a name with a dot', 'model: m\ncluster: { name: a.b }', 'INVALID_VALUE', 2, /up to 64 letters, digits, - or _/],
    ['an empty stop string', 'model: m\ngenerate: { stop: [""] }', 'INVALID_VALUE', 2, /non-empty/],
    ['a key that occurs twice', 'model: m\nmodel: m', 'INVALID_YAML', 2, /run\.yaml:2: .*unique/],
    ['a bracket that is not closed', 'model: m\nengine: { seed: 1', 'INVALID_YAML', 2, /correct the YAML$/],
    ['an unknown tag', 'model: !path m', 'INVALID_YAML', 1, /!path/],
    ['an alias that is not defined', 'model: *m', 'INVALID_YAML', 1, /m/],
    ['two documents', 'model: m\n---\nmodel: m', 'INVALID_YAML', 2, /document/],
    [
      'a model folder that does not exist',
      'parallel: {}\nmodel: n',
      'NOT_FOUND',
      2,
      /run\.yaml:2: "model" is "n".*looked for/,
    ],
  ];
  for (const [claim, text, code, line, message] of WRONG) {
    it(`${claim} is refused with its line`, async () => {
      const error = await errorOf(ConfigError, () => loadText(text));
      expect(error.message).to.match(message);
      expect(error.message.startsWith(`${code}: run.yaml:${line}: `)).to.equal(true, error.message);
      expect([error.code, error.file, error.line]).to.deep.equal([code, 'run.yaml', line]);
    });
  }

  const WRONG_SETS: readonly (readonly [claim: string, override: string, code: ConfigErrorCode, message: RegExp])[] = [
    ['an unknown key', 'engine.sed=1', 'UNKNOWN_KEY', /--set engine.sed=1: .*did you mean "engine.seed"\?/],
    ['a key below a value', 'engine.seed.x=1', 'WRONG_TYPE', /"engine.seed" is \{"x":1\}; allowed is an integer ≥ 0/],
    ['an empty part', 'engine..seed=1', 'UNKNOWN_KEY', /no key "" in "engine"/],
    ['no equals sign', 'engine.seed', 'INVALID_VALUE', /--set engine.seed: there is no key before "="/],
    ['nothing before the equals sign', '=1', 'INVALID_VALUE', /there is no key before "="/],
    ['a wrong value', 'comm.reduce=sum', 'INVALID_VALUE', /--set comm.reduce=sum: .*allowed is rank, source/],
    ['an empty value', 'comm.timeout_ms=', 'WRONG_TYPE', /"comm.timeout_ms" is null/],
    ['broken YAML', 'generate.stop=[', 'INVALID_YAML', /--set generate.stop=\[: /],
  ];
  for (const [claim, override, code, message] of WRONG_SETS) {
    it(`--set with ${claim} is refused`, async () => {
      const error = await errorOf(ConfigError, () => loadSet(override));
      expect(error.message).to.match(message);
      expect([error.code, error.file, error.line]).to.deep.equal([code, undefined, undefined]);
    });
  }

  it('a configuration without a model is refused', async () => {
    const errors = [{ flags: {} }, {}].map((options) => errorOf(ConfigError, () => loadConfig(options)));
    const [shell, program] = await Promise.all(errors);
    expect([shell!.code, shell!.key, program!.code]).to.deep.equal(['MISSING_KEY', 'model', 'MISSING_KEY']);
    expect(shell!.message).to.equal(
      'MISSING_KEY: "model" was not given; give --model DIR, or a configuration that has it (--config FILE): the path of a model folder, or ORG/NAME of a model in the hub\'s cache',
    );
    expect(program!.message).to.equal(
      'MISSING_KEY: "model" was not given; give base.model, or a file that has it: the path of a model folder, or ORG/NAME of a model in the hub\'s cache',
    );
  });

  it('what is no configuration at all is refused, by whoever is given it', async () => {
    for (const [options, message] of [
      [null, /its options are null; give an object/],
      [{ file: 5 }, /"file" is 5; give the path/],
      [{ base: 'x' }, /"base" is "x"; give an object/],
      [{ overrides: 'x=1' }, /"overrides" is "x=1"; give a list/],
      [{ overrides: [5] }, /"overrides.0" is 5; give a text/],
      [{ cwd: 5 }, /"cwd" is 5/],
      [{ bse: {} }, /^UNKNOWN_KEY: loadConfig has no option "bse"; its options are file, base/],
    ] as const) {
      const error = await errorOf(ConfigError, () => loadConfig(options as unknown as LoadConfigOptions));
      expect(error.message).to.match(message);
    }
    for (const options of [undefined, {}, { config: null }, { config: { model: moe7m() } }]) {
      const error = await errorOf(ConfigError, () => Engine.start(options as unknown as EngineOptions));
      expect(error.message).to.match(/^INVALID_VALUE: "config" is not what loadConfig returns: .*; call loadConfig$/);
    }
  });

  it('a file that does not exist is refused', async () => {
    const error = await errorOf(ConfigError, () => loadConfig({ file: 'nowhere.yaml' }));
    expect([error.code, error.file]).to.deep.equal(['NOT_FOUND', 'nowhere.yaml']);
  });

  it('any YAML at all is either a configuration or a ConfigError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.json(), fc.string()), async (text) => {
        try {
          await loadSet(`generate=${text}`);
        } catch (error) {
          expect(error).to.be.instanceOf(ConfigError);
        }
      }),
    );
  });

  it('a misspelt key is always answered with the right one', async () => {
    for (const [section, keys] of Object.entries(DEFAULTS).filter(([, value]) => typeof value === 'object')) {
      for (const key of Object.keys(keys).filter((name) => name.length > 3)) {
        const error = await errorOf(ConfigError, () => loadSet(`${section}.${key}x=1`));
        expect(error.message).to.contain(`did you mean "${section}.${key}"?`);
      }
    }
  });
});

describe('model path of a configuration', () => {
  it('is found from the working directory, or from a folder above the file, whatever the working directory', async () => {
    await withTempFolder(async (root) => {
      await mkdir(join(root, 'configs', 'deep'), { recursive: true });
      await mkdir(join(root, 'models', 'a'), { recursive: true });
      await mkdir(join(root, 'elsewhere'));
      const file = join(root, 'configs', 'deep', 'run.yaml');
      await writeFile(file, 'model: models/a');
      for (const cwd of [root, join(root, 'configs'), join(root, 'elsewhere'), '/']) {
        expect((await loadConfig({ file, cwd })).model).to.equal(join(root, 'models', 'a'));
      }
    });
  });

  it('prefers the working directory', async () => {
    await withTempFolder(async (root) => {
      await mkdir(join(root, 'here', 'm'), { recursive: true });
      await mkdir(join(root, 'configs', 'm'), { recursive: true });
      await writeFile(join(root, 'configs', 'run.yaml'), 'model: m');
      const config = await loadConfig({ file: '../configs/run.yaml', cwd: join(root, 'here') });
      expect(config.model).to.equal(join(root, 'here', 'm'));
    });
  });

  it('of a flag is looked for in the working directory only', async () => {
    const values = { model: 'models/moe-7m' };
    expect((await loadConfig({ flags: values, cwd: repoRoot() })).model).to.equal(moe7m());
    for (const [who, options] of [
      ['command line', { flags: values }],
      ['loadConfig\\(\\{ base \\}\\)', { base: values }],
    ] as const) {
      const error = await errorOf(ConfigError, () => loadConfig({ ...options, cwd: join(repoRoot(), 'lib') }));
      expect(error.code).to.equal('NOT_FOUND');
      expect(error.message).to.match(
        new RegExp(
          `${who}: "model" is "models/moe-7m".*looked for [^,]*\\), and models/moe-7m is not in the cache [^,]*; give`,
        ),
      );
    }
  });
});
