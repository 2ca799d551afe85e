// Writes packages/client/src/codes.ts from the tables of protocol/vectors, which the server's own tables are tested
// against. With `--check` it only says whether the file is fresh.

import { readFileSync, writeFileSync } from 'node:fs'

const at = (path) => new URL(path, import.meta.url)
const table = (name) => JSON.parse(readFileSync(at(`../../../protocol/vectors/${name}.json`), 'utf8'))
const file = at('../packages/client/src/codes.ts')

const errors = table('error-codes').codes
const closes = [...table('close-codes').codes, ...table('close-codes').others]
const final = closes.filter((close) => close.final).map((close) => close.code)
const single = final.filter((code) => code < 4000).sort((a, b) => a - b)

const text = `// Made by scripts/codes.mjs from protocol/vectors: not to be edited.

/** What a server refuses with. */
export type ErrorCode =
${errors.map(({ code, meaning }) => `  /** ${meaning} */\n  | '${code}'`).join('\n')}

/** Whether a client must not come back by itself after this close code. */
export const isFinal = (code: number): boolean =>
  (code >= 4400 && code < 4500) || [${single.join(', ')}].includes(code)
`

const rest = final.filter((code) => code >= 4000 && !(code >= 4400 && code < 4500))
if (rest.length > 0) throw new Error(`final codes that the rule does not have: ${rest}`)

if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== text) {
    console.error('packages/client/src/codes.ts is not fresh: run `npm run codes`')
    process.exitCode = 1
  }
} else writeFileSync(file, text)
