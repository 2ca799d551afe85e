// Runs the suites one after another and says what came of each test. `cargo xtask test` calls it with
// TRUNKLINE_BIN, EXAMPLES_DIR and CHROMIUM; arguments choose suites by name.

import { existsSync } from 'node:fs'
import { CHROMIUM, Cleanup, launchBrowser, within } from './harness.mjs'
import { tests as chat } from './suites/chat.mjs'
import { tests as plain } from './suites/plain.mjs'
import { tests as sdk } from './suites/sdk.mjs'
import { tests as tutorials } from './suites/tutorials.mjs'

const TEST_TIMEOUT = 120_000

/** What a test may need, and why it cannot be had. */
const missing = {
  chromium: existsSync(CHROMIUM) ? undefined : `chromium (there is none at ${CHROMIUM}; set CHROMIUM)`,
  server: lacking('TRUNKLINE_BIN'),
  examples: lacking('EXAMPLES_DIR'),
}

function lacking(name) {
  const path = process.env[name]
  if (path && existsSync(path)) return undefined
  return path ? `${name} (there is no ${path})` : `${name} (it is not set)`
}

const suites = { tutorials, plain, sdk, chat }
const chosen = process.argv.slice(2)
const counts = { passed: 0, failed: 0, skipped: 0 }
const browser = missing.chromium ? undefined : await launchBrowser()

for (const reason of Object.values(missing)) if (reason) console.log(`skipped: ${reason}`)

for (const [suite, tests] of Object.entries(suites)) {
  if (chosen.length > 0 && !chosen.includes(suite)) continue
  for (const test of tests) await runOne(`${suite}: ${test.name}`, test)
}

async function runOne(title, { needs, run }) {
  const reason = needs.map((need) => missing[need]).find(Boolean)
  if (reason) {
    counts.skipped += 1
    console.log(`skip  ${title}: needs ${reason}`)
    return
  }
  const cleanup = new Cleanup()
  const began = performance.now()
  try {
    await within('the test to end', run({ browser, cleanup }), TEST_TIMEOUT)
    counts.passed += 1
    console.log(`ok    ${title} (${Math.round(performance.now() - began)} ms)`)
  } catch (error) {
    counts.failed += 1
    console.log(`FAIL  ${title}\n${indented(error.stack ?? String(error))}`)
  } finally {
    await cleanup.run()
  }
}

function indented(text) {
  return text.replace(/^/gm, '      ')
}

await browser?.close()
// In CI nothing may be missing.
const failing = counts.failed > 0 || (process.env.CI === 'true' && counts.skipped > 0)
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`)
process.exit(failing ? 1 : 0)
