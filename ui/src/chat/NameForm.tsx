// Asks for the name that others see beside one's messages. It proves nothing; the server's own name for
// the guest is shown beside it.

import { type FormEvent, useId, useState } from 'react'
import { cleanName, NAME_MAX } from './payload'

export function NameForm({
  name,
  onName,
  onCancel,
}: {
  name: string
  onName: (name: string) => void
  onCancel?: () => void
}) {
  const [text, setText] = useState(name)
  const id = useId()
  const clean = cleanName(text)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (clean !== '') onName(clean)
  }
  return (
    <form className="one-field" onSubmit={submit}>
      <label htmlFor={id}>Your name</label>
      <input
        id={id}
        value={text}
        maxLength={NAME_MAX}
        autoComplete="nickname"
        onChange={(event) => setText(event.target.value)}
        // biome-ignore lint/a11y/noAutofocus: asked for by a button, or the only thing to do on the page.
        autoFocus={onCancel !== undefined}
      />
      <button type="submit" className="primary" disabled={clean === ''}>
        {onCancel ? 'Save' : 'Join'}
      </button>
      {onCancel && (
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      )}
    </form>
  )
}
