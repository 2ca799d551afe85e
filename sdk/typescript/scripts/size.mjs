// What a page loads of each entry point, minified and compressed, against its limit. Bytes, as gzip -9 makes them.

import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'

/** [entry point, bytes, what is not counted] */
const LIMITS = [
  ['packages/client/dist/esm/index.js', 11_264, []],
  ['packages/react/dist/esm/index.js', 2_048, ['react', '@trunkline/client']],
  [
    'packages/react/dist/esm/query.js',
    1_536,
    ['react', '@tanstack/react-query', '@trunkline/client', './hooks.js', './provider.js'],
  ],
]

for (const [input, most, external] of LIMITS) {
  const bundle = await rolldown({ input, external })
  const { output } = await bundle.generate({ format: 'es', minify: true })
  const size = gzipSync(output[0].code, { level: 9 }).length
  console.log(`${input}: ${size} of ${most} bytes`)
  if (size > most) process.exitCode = 1
}
