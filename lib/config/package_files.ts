/** Files of this package that programs name, from the folder above the compiled one. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const pathOf = (name: string): string => fileURLToPath(new URL(`../../../${name}`, import.meta.url));

/** This build's version. */
export const VERSION = (JSON.parse(readFileSync(pathOf('package.json'), 'utf8')) as { readonly version: string })
  .version;

/** Folder of the package itself. */
export const PACKAGE = pathOf('');

/** Folder of the small trained model that comes with the package (DeepSeek-V3's architecture, 7 M parameters), wherever that is installed. */
export const DEMO_MODEL = pathOf('models/moe-7m');

/** The configuration that `launch.sh` runs when it is given none. */
export const DEMO_CONFIG = pathOf('configs/demo.yaml');

/** What a server is tuned for; each has a configuration with the load that shows it. */
export const SCENARIOS = ['chat', 'batch', 'long_context'] as const;

/** The configuration of a scenario. */
export const scenarioConfig = (name: (typeof SCENARIOS)[number]): string => pathOf(`configs/scenarios/${name}.yaml`);

/** Folder of the documents. */
export const DOCUMENTS = pathOf('docs');

/** A script of `scripts/peers`: how other engines are run beside this one. */
export const peerScript = (name: string): string => pathOf(`scripts/peers/${name}`);
