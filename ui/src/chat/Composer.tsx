// Where messages are written. What is typed is kept at every keystroke and given up only to the queue.

import { type FormEvent, type KeyboardEvent, useEffect, useRef } from 'react'

export interface ComposerProps {
  channel: string
  text: string
  onText: (text: string) => void
  /** False: the message could not be taken; the text stays. */
  onSend: (text: string) => boolean
  full: boolean
}

export function Composer({ channel, text, onText, onSend, full }: ComposerProps) {
  const field = useRef<HTMLTextAreaElement>(null)
  const id = `compose-${channel}`

  const send = (event?: FormEvent) => {
    event?.preventDefault()
    if (text.trim() === '') return
    if (onSend(text)) onText('')
    field.current?.focus()
  }
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    send()
  }
  // `/` goes to the field from anywhere on the page.
  useEffect(() => {
    const onSlash = (event: globalThis.KeyboardEvent) => {
      const busy = (event.target as HTMLElement).closest?.('input, textarea, [contenteditable]')
      if (event.key !== '/' || busy || event.ctrlKey || event.metaKey || event.altKey) return
      if (document.querySelector('.composer textarea') !== field.current) return
      event.preventDefault()
      field.current?.focus()
    }
    addEventListener('keydown', onSlash)
    return () => removeEventListener('keydown', onSlash)
  }, [])

  return (
    <form className="composer" onSubmit={send}>
      <label className="unseen" htmlFor={id}>
        Message to {channel}
      </label>
      <textarea
        id={id}
        ref={field}
        rows={1}
        placeholder="Write a message"
        enterKeyHint="send"
        autoComplete="off"
        value={text}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={onKey}
      />
      <button type="submit" className="primary" disabled={text.trim() === ''}>
        Send
      </button>
      {full && (
        <p className="fate bad" role="alert">
          Too many messages wait to be sent. This one stays here until there is room.
        </p>
      )}
    </form>
  )
}
