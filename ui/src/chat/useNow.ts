// The present time, renewed while someone needs it.

import { useEffect, useState } from 'react'

export function useNow(every: number, needed: boolean): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    if (!needed) return
    setNow(Date.now())
    const timer = setInterval(() => setNow(Date.now()), every)
    return () => clearInterval(timer)
  }, [every, needed])
  return now
}
