// Rooms: the part of a channel's name that people choose, kept in the page's address.

const PREFIX = 'chat:'
const CHANNEL_BYTES = 255

export type Room = { name: string; channel: string; problem?: undefined } | { name: string; problem: string }

/** A room by its name, or what is wrong with the name. */
export function roomOf(name: string): Room {
  if (name === '') return { name, problem: 'A room needs a name.' }
  const odd = [...name].find((character) => !/^[A-Za-z0-9_\-.:~@]$/.test(character))
  if (odd !== undefined) {
    const shown = odd === ' ' ? 'a space' : `“${odd}”`
    return { name, problem: `A room's name cannot have ${shown} in it. Letters A–Z, digits and _ - . : ~ @ are fine.` }
  }
  const longest = CHANNEL_BYTES - PREFIX.length
  if (name.length > longest) {
    return { name, problem: `The name has ${name.length} characters; ${longest} is the most.` }
  }
  return { name, channel: PREFIX + name }
}

export function roomInAddress(): Room {
  return roomOf(new URLSearchParams(location.search).get('room') ?? 'lobby')
}

export function addressOf(room: string): string {
  const query = new URLSearchParams(location.search)
  query.set('room', room)
  return `${location.pathname}?${query.toString().replaceAll('%3A', ':').replaceAll('%40', '@')}`
}
