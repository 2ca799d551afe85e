// What those who install the packages would stumble over: publint, and are the types wrong.

import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
for (const name of readdirSync(`${root}packages`)) {
  for (const [command, ...given] of [
    ['publint', '--strict'],
    ['attw', '--pack', '.'],
  ]) {
    const ran = spawnSync('npx', [command, ...given], { cwd: `${root}packages/${name}`, encoding: 'utf8' })
    console.log(`${name}: ${command} ${ran.status === 0 ? 'finds nothing' : `says\n${ran.stdout}${ran.stderr}`}`)
    if (ran.status !== 0) process.exitCode = 1
  }
}
