// Takes one rule after the other out of the client, and says whether the simulation or the rule's own test notices. One that
// neither notices is a rule without a test.
//
//   npm run plants            all of them
//   npm run plants -- rev     those whose name has this in it

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const RUNS = process.env.SIMULATION_RUNS ?? '20000'

/** [name, file, what stands there, what stands there instead] */
const PLANTS = [
  ['no rev rule for references', 'log.ts', 'if (reference.offset <= (message.rev ?? 0)) return message', ''],
  ['no rev rule for copies', 'log.ts', '(message.rev ?? 0) > (held.rev ?? 0)', 'true'],
  ['no ahead buffer', 'log.ts', 'this.#ahead.set(message.offset, ', 'this.#ahead.set(this.head + 1, '],
  [
    'references that a page does not know are forgotten',
    'log.ts',
    'if (reference.offset > page.top) this.#apply(reference)',
    '',
  ],
  [
    'what a filled gap did to older messages is forgotten',
    'log.ts',
    'this.#unsure((message) => message.offset < page.lo, page.top)',
    '',
  ],
  [
    'a page may know more than a lost line',
    'log.ts',
    'this.#unsure((message) => (message.rev ?? 0) > this.head, this.head)',
    '',
  ],
  ['lost references stay in messages', 'log.ts', 'this.#unsure((message) => (message.rev ?? 0) > keep, keep)', ''],
  ['pages that do not touch are drawn', 'log.ts', 'if (!touches) return', 'if (false) return'],
  ['pages of another epoch are drawn', 'log.ts', 'if (!this.#agrees(page, items))', 'if (false)'],
  [
    'a rewind takes nothing away',
    'log.ts',
    'this.#items = this.#items.filter((message) => message.offset <= keep)',
    '',
  ],
  ['what was acknowledged and lost is not sent again', 'outbox.ts', 'if (lost.length === 0) return', 'return'],
  [
    'another key for each attempt',
    'channel.ts',
    "{ type: 'publish', channel: this.name, key, ...body }",
    "{ type: 'publish', channel: this.name, key: host.token(), ...body }",
  ],
  [
    'what was unanswered is not sent again',
    'outbox.ts',
    "if (draft.state === 'sending') this.change",
    'if (false) this.change',
  ],
  ['subscribed from nowhere', 'channel.ts', 'if (this.#asked) question.since = this.#asked', ''],
]

const root = fileURLToPath(new URL('..', import.meta.url))
const copy = `${root}node_modules/.plants/`
const wanted = process.argv[2] ?? ''
let missed = 0
for (const [name, file, from, to] of PLANTS.filter(([name]) => name.includes(wanted))) {
  rmSync(copy, { recursive: true, force: true })
  mkdirSync(copy, { recursive: true })
  cpSync(`${root}packages/client/src`, `${copy}src`, { recursive: true })
  cpSync(`${root}packages/client/test`, `${copy}test`, { recursive: true })
  const path = `${copy}src/${file}`
  const source = readFileSync(path, 'utf8')
  if (source.split(from).length !== 2)
    throw new Error(`${name}: ${JSON.stringify(from)} stands not just once in ${file}`)
  writeFileSync(path, source.replace(from, to))
  const arguments_ = ['vitest', 'run', '--root', copy, '--dir', copy, 'test/log.test.ts', 'test/simulation.test.ts']
  const run = spawnSync('npx', arguments_, {
    cwd: root,
    env: { ...process.env, SIMULATION_RUNS: RUNS },
    encoding: 'utf8',
  })
  const said = run.stdout + run.stderr
  const seen = said.match(/seed \d+: .*/)?.[0]
  const found = run.status !== 0 && /AssertionError|imeout/.test(said)
  if (!found) missed += 1
  console.log(
    `${found ? 'found ' : 'MISSED'} ${name}${found ? `: ${seen ?? 'by a rule of its own'}` : `\n${said.slice(-600)}`}`,
  )
}
rmSync(copy, { recursive: true, force: true })
if (missed > 0) process.exitCode = 1
