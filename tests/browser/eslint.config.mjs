import js from '@eslint/js';
import globals from 'globals';

export default [
  { ignores: ['**/node_modules/**'] },
  js.configs.recommended,
  { languageOptions: { ecmaVersion: 2023, sourceType: 'module' }, rules: { 'no-unused-vars': ['error', { caughtErrors: 'none' }], eqeqeq: 'error', 'no-var': 'error', 'prefer-const': 'error', 'no-implied-eval': 'error', 'no-eval': 'error' } },
  { files: ['**/www/**/*.js'], languageOptions: { globals: { ...globals.browser } } },
  // The scripts run in Node; what they hand to a page runs there.
  { files: ['**/*.mjs'], languageOptions: { globals: { ...globals.node, ...globals.browser } } },
];
