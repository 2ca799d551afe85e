// Builds each package: ES modules and CommonJS, each in a folder that says which of both it is, and their types; and
// `/trunkline.js`, the client as one script that a server embeds.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const root = fileURLToPath(new URL('..', import.meta.url))
const packages = readdirSync(`${root}packages`).filter((name) => existsSync(`${root}packages/${name}/package.json`))
// Those that others are built on come first.
packages.sort((one, other) => Number(one !== 'client') - Number(other !== 'client'))

for (const name of packages) {
  const folder = `${root}packages/${name}`
  rmSync(`${folder}/dist`, { recursive: true, force: true })
  for (const [kind, module, type] of [
    ['esm', 'ESNext', 'module'],
    ['cjs', 'CommonJS', 'commonjs'],
  ]) {
    const out = `${folder}/dist/${kind}`
    const options = [
      '--noEmit',
      'false',
      '--declaration',
      '--module',
      module,
      '--rootDir',
      `${folder}/src`,
      '--outDir',
      out,
    ]
    const config = `${folder}/tsconfig.json`
    const made = spawnSync('npx', ['tsc', '-p', config, ...options], { cwd: root, stdio: 'inherit' })
    if (made.status !== 0) process.exit(1)
    writeFileSync(`${out}/package.json`, `${JSON.stringify({ type, sideEffects: false })}\n`)
  }
}

const bundle = await rolldown({ input: `${root}packages/client/src/index.ts` })
mkdirSync(`${root}packages/client/dist`, { recursive: true })
const file = `${root}packages/client/dist/trunkline.js`
await bundle.write({ file, format: 'iife', name: 'Trunkline', minify: true })
