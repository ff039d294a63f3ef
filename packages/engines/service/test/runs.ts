/** `AXONEME_RUNS` scales every suite: 1000 is what each does by default. */
export const scaled = (runs: number): number => Math.max(1, Math.round((runs * Number(process.env.AXONEME_RUNS ?? 1000)) / 1000));
