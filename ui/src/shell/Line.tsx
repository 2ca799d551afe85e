// The product's sign: a line that is steady when connected, broken while waiting, dotted when offline,
// with a pulse for each message. It says nothing that a text beside it does not say too.

import { useEffect, useRef } from 'react'
import './line.css'

export type LineState = 'steady' | 'broken' | 'dotted'

/** Tells of each message until the returned function is called. */
export type Pulses = (onPulse: () => void) => () => void

const AT_ONCE = 6

export function Line({ state, pulses }: { state: LineState; pulses?: Pulses }) {
  const line = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = line.current
    if (!element || !pulses) return
    return pulses(() => run(element))
  }, [pulses])
  return <div ref={line} className={`line ${state}`} aria-hidden="true" />
}

function run(line: HTMLElement): void {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches || document.hidden) return
  if (line.childElementCount >= AT_ONCE) return
  const pulse = document.createElement('span')
  line.append(pulse)
  const across = [{ transform: 'translateX(-48px)' }, { transform: `translateX(${line.clientWidth}px)` }]
  pulse.animate(across, { duration: 900, easing: 'ease-out' }).finished.then(
    () => pulse.remove(),
    () => pulse.remove(),
  )
}
