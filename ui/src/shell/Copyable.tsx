// A line or a block of code that can be taken along.

import { useEffect, useState } from 'react'
import './copyable.css'

export function Copyable({ code, label }: { code: string; label: string }) {
  const [said, setSaid] = useState('')
  useEffect(() => {
    if (!said) return
    const timer = setTimeout(() => setSaid(''), 2_000)
    return () => clearTimeout(timer)
  }, [said])
  const copy = () =>
    navigator.clipboard.writeText(code).then(
      () => setSaid('Copied'),
      () => setSaid('Select and copy'),
    )
  return (
    <div className="copyable">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard. */}
      <section tabIndex={0} aria-label={label}>
        <pre>{code}</pre>
      </section>
      <button type="button" onClick={copy} aria-label={`Copy: ${label}`}>
        <span aria-hidden="true">{said || 'Copy'}</span>
      </button>
      <span className="unseen" role="status">
        {said}
      </span>
    </div>
  )
}
