// Entry of `npm run generate` for the row codecs; run by Node, not imported.
import { writeGenerated } from './src/generator/generate.ts';

writeGenerated();
