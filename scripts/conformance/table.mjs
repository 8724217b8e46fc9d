// Writes docs/conformance.md from the golden files, after a build: node scripts/conformance/table.mjs
import { writeFileSync } from 'node:fs';
import { conformanceText } from '../../dist/test/kit/model/conformance_text.js';

writeFileSync('docs/conformance.md', conformanceText());
