// Times as people read them.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' })
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' })

export const clockTime = (ts: number) => clock.format(ts)
export const exactTime = (ts: number) => exact.format(ts)

export function dayOf(ts: number, now: number): string {
  const name = day.format(ts)
  if (name === day.format(now)) return 'Today'
  return name === day.format(now - 86_400_000) ? 'Yesterday' : name
}
