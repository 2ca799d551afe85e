// Goes to another room, if its name can be one.

import { type FormEvent, useId, useState } from 'react'
import { roomOf } from './room'

export function RoomForm({
  room,
  onRoom,
  onCancel,
}: {
  room: string
  onRoom: (room: string) => void
  onCancel?: () => void
}) {
  const [text, setText] = useState(room)
  const id = useId()
  const { problem } = roomOf(text)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (problem === undefined) onRoom(text)
  }
  return (
    <form className="one-field" onSubmit={submit} noValidate>
      <label htmlFor={id}>Room</label>
      <input
        id={id}
        className="data"
        value={text}
        spellCheck={false}
        autoCapitalize="none"
        autoComplete="off"
        aria-invalid={problem !== undefined}
        aria-describedby={`${id}-problem`}
        onChange={(event) => setText(event.target.value)}
        // biome-ignore lint/a11y/noAutofocus: the field was asked for by a button.
        autoFocus
      />
      <button type="submit" className="primary" disabled={problem !== undefined}>
        Go there
      </button>
      {onCancel && (
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      )}
      <p id={`${id}-problem`} className="problem" role="alert">
        {problem}
      </p>
    </form>
  )
}
