// The scrolling log. What is being read never moves: rows that come above or below leave it where it is,
// and only a reader at the end follows.

import { type ReactNode, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react'
import { MessageRow, type RowActions } from './MessageRow'
import type { Row } from './rows'

/** Closer to an edge than this counts as being there, in pixels. */
const NEAR_END = 48
const NEAR_START = 600

interface Anchor {
  offset: string
  top: number
}

export interface MessageLogProps {
  label: string
  rows: Row[]
  head: number
  /** Shown above the first row: the start of the room, loading, an error. */
  above: ReactNode
  busy: boolean
  loadOlder: (() => void) | undefined
  /** Called when the reader is at the end and many rows lie above. */
  forgetOld: () => void
  actions: RowActions
}

const MANY = 600

export function MessageLog({ label, rows, head, above, busy, loadOlder, forgetOld, actions }: MessageLogProps) {
  const log = useRef<HTMLDivElement>(null)
  const follows = useRef(true)
  const anchor = useRef<Anchor | undefined>(undefined)
  const [seen, setSeen] = useState(head)
  const unseen = rows.length > 0 ? Math.max(0, head - seen) : 0

  const settle = useCallback(() => {
    const element = log.current
    if (!element) return
    const rest = element.scrollHeight - element.clientHeight - element.scrollTop
    follows.current = rest < NEAR_END
    anchor.current = follows.current ? undefined : anchorIn(element)
    if (follows.current) setSeen(head)
    if (element.scrollTop < NEAR_START) loadOlder?.()
  }, [head, loadOlder])

  // Before the browser paints: stay at the end, or with the row that is being read.
  useLayoutEffect(() => {
    const element = log.current
    if (!element || rows.length === 0) return
    if (follows.current) element.scrollTop = element.scrollHeight
    else if (anchor.current) hold(element, anchor.current)
    settle()
    if (follows.current && rows.length > MANY) forgetOld()
  }, [rows, settle, forgetOld])

  // A window, a keyboard or a bar that changes the height does not change what is being read.
  useEffect(() => {
    const element = log.current
    if (!element) return
    const observer = new ResizeObserver(() => {
      if (follows.current) element.scrollTop = element.scrollHeight
    })
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  const toEnd = () => {
    const element = log.current
    if (!element) return
    element.scrollTop = element.scrollHeight
    element.focus()
  }

  return (
    <div className="log-frame">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard. */}
      <div ref={log} className="log" role="log" aria-label={label} aria-busy={busy} tabIndex={0} onScroll={settle}>
        <div className="rows">
          {above}
          {rows.map((row) => (
            <MessageRow key={row.key} row={row} actions={actions} />
          ))}
        </div>
      </div>
      {unseen > 0 && (
        <button type="button" className="to-end numbers" onClick={toEnd}>
          {unseen} new, press End
        </button>
      )}
    </div>
  )
}

/** The first row that is in sight, and where it stands. */
function anchorIn(log: HTMLElement): Anchor | undefined {
  const { top } = log.getBoundingClientRect()
  for (const row of log.querySelectorAll<HTMLElement>('[data-offset]')) {
    const place = row.getBoundingClientRect()
    if (place.bottom > top) return { offset: row.dataset.offset ?? '', top: place.top - top }
  }
  return undefined
}

function hold(log: HTMLElement, anchor: Anchor): void {
  const row = log.querySelector(`[data-offset="${anchor.offset}"]`)
  if (!row) return
  const moved = row.getBoundingClientRect().top - log.getBoundingClientRect().top - anchor.top
  if (moved !== 0) log.scrollTop += moved
}
