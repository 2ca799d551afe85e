// Two projects that use the packages as npm packs them: one of ES modules, in TypeScript, and one of CommonJS. Both are
// checked by the compiler and run.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'trunkline-consumers-'))
const run = (cwd, command, ...given) => {
  const ran = spawnSync(command, given, { cwd, encoding: 'utf8' })
  if (ran.status === 0) return ran.stdout
  console.error(`${command} ${given.join(' ')}:\n${ran.stdout}${ran.stderr}`)
  process.exit(1)
}

const PROGRAM = `
const client = createClient({ url: 'wss://chat.example.com', token: async () => 'x' })
const channel = client.channel('chat:lobby')
const timeline = channel.timeline()
const state: 'idle' | string = client.connection.get().state
const first: { text: string } | undefined = timeline.get().messages[0]?.data
if (state !== 'idle' || first !== undefined || !(new TrunklineError('closed', 'x') instanceof Error)) throw new Error(state)
// @ts-expect-error: it is no number
const wrong: number = client.connection.get().state
void wrong
`
const REGISTER = `
declare module '@trunkline/client' {
  interface Register {
    channels: { 'chat:*': { text: string } }
  }
}
`
const PROJECTS = {
  esm: {
    type: 'module',
    program: `import { createClient, TrunklineError } from '@trunkline/client'\n${REGISTER}${PROGRAM}`,
  },
  cjs: {
    type: 'commonjs',
    program: `import client = require('@trunkline/client')\nconst { createClient, TrunklineError } = client\n${REGISTER}${PROGRAM.replace('const client =', 'const ours =').replaceAll('client.c', 'ours.c')}`,
  },
}

for (const name of readdirSync(`${root}packages`))
  run(`${root}packages/${name}`, 'npm', 'pack', '--pack-destination', folder)
const packed = readdirSync(folder).filter((file) => file.endsWith('.tgz'))
for (const [name, { type, program }] of Object.entries(PROJECTS)) {
  const project = join(folder, name)
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name, private: true, type }))
  writeFileSync(join(project, 'main.ts'), program)
  run(
    project,
    'npm',
    'install',
    '--no-audit',
    '--no-fund',
    '--offline',
    '--legacy-peer-deps',
    ...packed.map((file) => join('..', file)),
  )
  const options = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,dom', '--types', '']
  run(project, join(root, 'node_modules/.bin/tsc'), ...options, '--outDir', 'out', 'main.ts')
  run(project, 'node', 'out/main.js')
  console.log(`${name}: it is typed, and runs`)
}
rmSync(folder, { recursive: true, force: true })
