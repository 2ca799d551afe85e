// What most tests begin with: a world, a client in it, and a look at what goes over the line.

import { type ClientOptions, createClient } from '../src/client.js'
import type { Message } from '../src/types.js'
import { type FakeSocket, type Frame, World } from './world.js'

export const LOBBY = 'chat:lobby'

export function inWorld(options: Partial<ClientOptions> = {}, seed = 1) {
  const world = new World(seed)
  const client = createClient({ url: 'ws://x', host: world.host(), ...options })
  const channel = client.channel(LOBBY)
  return { world, server: world.server, client, channel, timeline: channel.timeline() }
}

/** The one line that is open. */
export function line(world: World): FakeSocket {
  const open = world.sockets.filter((socket) => socket.readyState === 1)
  if (open.length !== 1) throw new Error(`${open.length} lines are open`)
  return open[0] as FakeSocket
}

/** What the server got of a type, of the open line. */
export const got = (world: World, type: string): Frame[] => line(world).received.filter((frame) => frame.type === type)

/** What the newest `connect` asks of a channel. */
export const resumed = (world: World, channel: string): Frame | undefined => {
  const subscribe = got(world, 'connect').at(-1)?.subscribe as Record<string, Frame> | undefined
  return subscribe?.[channel]
}

/** What a listener is told. */
export function heard(subscribe: (listener: (message: Message) => void) => () => void) {
  const messages: Message[] = []
  const leave = subscribe((message) => messages.push(message))
  return { messages, leave, data: () => messages.map((message) => message.data) }
}
