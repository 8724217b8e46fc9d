/**
 * Loaded before the tests: they see nothing of what the user installed, cached or set. What they start gets the same, since it is in this process's environment; an
 * installed native library, a launcher's variables or a job secret would change what is tested.
 */
import { config } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where programs, temporary files and npm's registry are, and how text is written. */
const KEPT =
  /^(PATH|TMPDIR|TEMP|TMP|LANG|LC_.*|TZ|CI|npm_config_.*|https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_.*|SOAK_[A-Z]+|FUZZ_REQUESTS|EXPERTWIRE_TEST_PYTHON)$/i;

for (const name of Object.keys(process.env)) {
  // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- an environment has no other way
  if (!KEPT.test(name)) delete process.env[name];
}
const home = mkdtempSync(join(tmpdir(), 'expertwire-test-home-'));
process.env.HOME = home;
process.on('exit', () => rmSync(home, { recursive: true, force: true }));

// A misspelt assertion is an error of types already; to look for it in every run too takes more time than the assertions themselves.
config.useProxy = false;
