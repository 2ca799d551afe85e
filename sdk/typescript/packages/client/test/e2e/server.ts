// A real server as a process, and a network in front of it that delays and cuts. The binary is `TRUNKLINE_BIN`.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server as NetServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const BINARY = process.env.TRUNKLINE_BIN
if (!BINARY && process.env.CI === 'true') throw new Error('TRUNKLINE_BIN is not set')

/** A server that can be killed and started again on what it had. */
export class Trunkline {
  readonly folder = mkdtempSync(join(tmpdir(), 'trunkline-e2e-'))
  port = 0
  #process: ChildProcess | undefined

  async start(): Promise<void> {
    const options = ['dev', '--listen', '127.0.0.1:0', '--data', join(this.folder, 'data')]
    const started = spawn(BINARY as string, options, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#process = started
    this.port = await new Promise<number>((resolve, reject) => {
      let said = ''
      started.stdout?.on('data', (data: Buffer) => {
        said += data
        const ready = said.match(/^ready http:\/\/127\.0\.0\.1:(\d+)$/m)
        if (ready) resolve(Number(ready[1]))
      })
      started.once('exit', (code) => reject(new Error(`it ended with ${code}: ${said}`)))
    })
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const ended = new Promise((resolve) => this.#process?.once('exit', resolve))
    this.#process?.kill(signal)
    await ended
  }

  async end(): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Leads to a server, badly: what goes through is late, and any line may be cut at any moment. */
export class Network {
  port = 0
  target = 0
  /** The longest delay of a piece, in ms. */
  delay = 0
  #server: NetServer
  #lines = new Set<Socket>()

  constructor() {
    this.#server = createServer((near) => {
      const far = connect(this.target, '127.0.0.1')
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#lines.add(from)
        const pieces: { at: number; piece: Buffer }[] = []
        // One timer at a time: of two that are due at once, either may come first.
        const pass = () => {
          for (let next = pieces[0]; next && next.at <= Date.now(); next = pieces[0]) {
            pieces.shift()
            if (to.writable) to.write(next.piece)
          }
          if (pieces[0]) setTimeout(pass, pieces[0].at - Date.now())
        }
        from.on('data', (piece: Buffer) => {
          const at = Math.max(pieces.at(-1)?.at ?? 0, Date.now() + Math.random() * this.delay)
          if (pieces.push({ at, piece }) === 1) setTimeout(pass, at - Date.now())
        })
        from.on('error', () => undefined)
        from.on('close', () => {
          this.#lines.delete(from)
          to.destroy()
        })
      }
    })
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    this.port = (this.#server.address() as { port: number }).port
  }

  cut(): void {
    for (const line of this.#lines) line.destroy()
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
