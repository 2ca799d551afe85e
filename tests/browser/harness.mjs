// What the suites stand on: child processes that say when they are ready, a browser, WebSockets that are
// read message by message, and waiting for conditions. Nothing here waits for a time to pass.

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { chromium } from 'playwright-core'
import { WebSocket } from 'ws'

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const PATIENCE = 20_000

/** Ends whatever a test has begun, in reverse, however the test ends. */
export class Cleanup {
  #steps = []

  add(step) {
    this.#steps.push(step)
  }

  async run() {
    for (const step of this.#steps.reverse()) await Promise.resolve(step()).catch(() => undefined)
    this.#steps = []
  }
}

/** A promise that fails with what was waited for. */
export function within(what, promise, ms = PATIENCE) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms / 1000} s for ${what}`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** A child process whose output can be waited for. */
export class Program {
  #output = ''
  #waiting = new Set()

  constructor(file, args, cleanup) {
    if (!existsSync(file)) throw new Error(`there is no ${file}`)
    this.name = path.basename(file)
    this.child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.exited = new Promise((resolve) => {
      this.child.once('error', resolve)
      // Not `exit`: what it has printed last is read by then, too.
      this.child.once('close', resolve)
    })
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text) => {
        this.#output += text
        for (const look of [...this.#waiting]) look()
      })
    }
    cleanup.add(() => this.kill())
  }

  get output() {
    return this.#output
  }

  /** The match of `pattern` in what the program has printed so far or prints next. */
  async prints(pattern) {
    let look
    const found = new Promise((resolve) => {
      look = () => {
        const match = pattern.exec(this.#output)
        if (match) resolve(match)
      }
      this.#waiting.add(look)
      look()
    })
    const ended = this.exited.then(() => {
      look()
      throw new Error(`${this.name} ended before it printed ${pattern}:\n${this.#output}`)
    })
    ended.catch(() => undefined)
    try {
      return await within(`${this.name} to print ${pattern}, so far:\n${this.#output}`, Promise.race([found, ended]))
    } finally {
      this.#waiting.delete(look)
    }
  }

  /** As the power cord would; resolves when it is gone. */
  kill(signal = 'SIGKILL') {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal)
    return this.exited
  }
}

/** The server under test, on a data directory of its own. */
export async function startServer(cleanup, { port = 0, data } = {}) {
  const directory = data ?? temporary(cleanup)
  const args = ['dev', '--listen', `127.0.0.1:${port}`, '--data', directory]
  const program = new Program(process.env.TRUNKLINE_BIN, args, cleanup)
  const [, url] = await program.prints(/^ready (http:\S+)$/m)
  return { program, url, ws: url.replace('http', 'ws'), port: Number(new URL(url).port), data: directory }
}

export async function startExample(cleanup, name) {
  const program = new Program(path.join(process.env.EXAMPLES_DIR, name), ['127.0.0.1:0'], cleanup)
  const [, url] = await program.prints(/listening on (ws:\/\/\S+)/)
  return { program, url }
}

function temporary(cleanup) {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'trunkline-browser-'))
  cleanup.add(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A port that is free now. */
export async function freePort() {
  const server = net.createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** An empty page of this machine: browsers let only such pages talk to servers on it. */
export async function emptyPage(cleanup) {
  const server = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/html')
    response.end('<!doctype html><title>A page</title>')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanup.add(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${server.address().port}/`
}

export function launchBrowser() {
  const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking']
  return chromium.launch({ executablePath: CHROMIUM, args })
}

/** A socket of the `ws` package, read in order. */
export class Line {
  #messages = []
  #taken = 0
  #arrived = () => undefined

  static async open(cleanup, url, protocols = [], options = {}) {
    const socket = new WebSocket(url, protocols, options)
    cleanup.add(() => socket.terminate())
    const line = new Line(socket)
    await within(`${url} to open`, line.opened)
    return line
  }

  constructor(socket) {
    this.socket = socket
    this.opened = new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    socket.on('message', (data, isBinary) => {
      this.#messages.push({ data, isBinary })
      this.#arrived()
    })
  }

  /** What was agreed on in the handshake. */
  get extensions() {
    return this.socket.extensions
  }

  send(data) {
    this.socket.send(data)
  }

  /** The next message: a string for a text frame, a Buffer for a binary one. */
  async next() {
    const arrived = async () => {
      while (this.#messages.length <= this.#taken) {
        await new Promise((resolve) => {
          this.#arrived = resolve
        })
      }
    }
    await within('a message', arrived())
    const { data, isBinary } = this.#messages[this.#taken++]
    return isBinary ? data : data.toString('utf8')
  }

  /** How many messages have arrived that nobody has taken. */
  get left() {
    return this.#messages.length - this.#taken
  }
}

/** The browser's own WebSocket, on `page`, read in order like a `Line`. */
export class PageLine {
  static #count = 0

  static async open(page, url, protocols = []) {
    PageLine.#count += 1
    const name = `line${PageLine.#count}`
    const opening = page.evaluate(
      ([name, url, protocols]) =>
        new Promise((resolve, reject) => {
          const socket = new WebSocket(url, protocols)
          socket.binaryType = 'arraybuffer'
          const messages = []
          window[name] = { socket, messages, arrived: () => undefined }
          socket.onmessage = ({ data }) => {
            messages.push(typeof data === 'string' ? data : [...new Uint8Array(data)])
            window[name].arrived()
          }
          socket.onopen = () => resolve(socket.extensions)
          socket.onclose = ({ code }) => reject(new Error(`closed with ${code} before it was open`))
        }),
      [name, url, protocols],
    )
    const extensions = await within(`${url} to open in the browser`, opening)
    return new PageLine(page, name, extensions)
  }

  constructor(page, name, extensions) {
    this.page = page
    this.name = name
    /** What was agreed on in the handshake. */
    this.extensions = extensions
  }

  send(data) {
    const bytes = typeof data === 'string' ? undefined : [...data]
    return this.page.evaluate(
      ([name, data, bytes]) => window[name].socket.send(bytes ? new Uint8Array(bytes) : data),
      [this.name, bytes ? undefined : data, bytes],
    )
  }

  async next() {
    const taking = this.page.evaluate(async (name) => {
      const line = window[name]
      while (line.messages.length === 0) {
        await new Promise((resolve) => {
          line.arrived = resolve
        })
      }
      return line.messages.shift()
    }, this.name)
    const data = await within('a message in the browser', taking)
    return typeof data === 'string' ? data : Buffer.from(data)
  }
}
