// One config for every suite; scripts/run.mjs chooses projects by path.
export default {
  testEnvironment: 'node',
  transform: {},
  extensionsToTreatAsEsm: ['.ts'],
  testMatch: ['<rootDir>/packages/**/*.test.ts', '<rootDir>/e2e/**/*.test.ts', '<rootDir>/bpf/**/*.test.ts'],
  moduleFileExtensions: ['ts', 'mjs', 'js', 'json', 'node'],
  // a limit against hanging, not a measure: suites also run on two busy cores
  testTimeout: Number(process.env.AXONEME_TEST_TIMEOUT_MS ?? 60_000),
  watchman: false,
  // haste must not see generated or installed copies
  modulePathIgnorePatterns: ['<rootDir>/.tools', '<rootDir>/build', '<rootDir>/.sandbox'],
};
