import js from '@eslint/js';
import jsdoc from 'eslint-plugin-jsdoc';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  // AssemblyScript (*.as.ts) has types of its own; its compiler checks it.
  { ignores: ['dist/', 'node_modules/', '.nodes/', '**/*.as.ts'] },
  js.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Index access is checked by the compiler (noUncheckedIndexedAccess); `!` says "the loop bound proves it".
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/prefer-readonly': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/prefer-for-of': 'off',
      '@typescript-eslint/parameter-properties': ['error', { prefer: 'parameter-property' }],
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'exit', message: 'Only lib/cli.ts ends the process.' },
        { object: 'process', property: 'env', message: 'Only lib/cli.ts reads the environment.' },
      ],
      'no-console': 'error',
      // One dialect.
      'no-restricted-syntax': [
        'error',
        {
          selector: 'PropertyDefinition > PrivateIdentifier[name!=/^(options|welcome)$/]',
          message: 'Private fields are `private`, but those with a secret in them are hidden.',
        },
        { selector: 'MethodDefinition > PrivateIdentifier', message: 'Private methods are `private`.' },
        {
          selector: 'AssignmentExpression[operator=/^[+]=|-=$/][right.value=1]',
          message: 'What goes up or down by one is written with ++ or --.',
        },
        {
          selector: 'AssignmentExpression > ArrayPattern > MemberExpression[object.type="ThisExpression"]',
          message: 'Fields are set one by one.',
        },
      ],
    },
  },
  {
    // Everything exported says what it is.
    files: ['**/*.ts', '**/*.tsx'],
    ignores: ['test/**'],
    plugins: { jsdoc },
    rules: {
      'jsdoc/require-jsdoc': [
        'error',
        {
          publicOnly: { esm: true, cjs: false, window: false, ancestorsOnly: true },
          require: {
            ArrowFunctionExpression: true,
            ClassDeclaration: true,
            FunctionDeclaration: true,
            FunctionExpression: true,
            MethodDefinition: true,
          },
          contexts: ['TSInterfaceDeclaration', 'TSTypeAliasDeclaration'],
          checkConstructors: false,
          checkGetters: false,
          enableFixer: false,
        },
      ],
      'jsdoc/match-description': [
        'error',
        {
          contexts: ['any'],
          matchDescription: '^(?![\\s\\S]*\\b(?:[Tt]hrows|[Rr]ejects with) [A-Z]+_?[A-Z]+\\b)[\\s\\S]*$',
          message: 'Errors stand under @throws.',
        },
      ],
    },
  },
  {
    files: ['scripts/**/*.mjs', 'examples/*.mjs'],
    languageOptions: {
      globals: Object.fromEntries(
        ['Buffer', 'URL', 'console', 'performance', 'process'].map((name) => [name, 'readonly']),
      ),
    },
  },
  {
    files: ['lib/cli.ts', 'test/**/*.ts', 'examples/**/*.ts'],
    rules: { 'no-restricted-properties': 'off', 'no-console': 'off' },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
);
