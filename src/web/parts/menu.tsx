import { type ReactNode, useEffect, useRef } from 'react'
import './menu.css'

/** A button that opens a small panel below it. Closed by Escape, by a click beside it, and by what `children` call. */
export function Menu({
  label,
  title,
  children,
}: {
  readonly label: ReactNode
  readonly title?: string
  readonly children: (close: () => void) => ReactNode
}) {
  const ref = useRef<HTMLDetailsElement>(null)
  const close = () => {
    ref.current!.open = false
  }
  useEffect(() => {
    const away = (event: PointerEvent) => {
      if (ref.current?.open === true && !ref.current.contains(event.target as Node)) ref.current.open = false
    }
    document.addEventListener('pointerdown', away)
    return () => document.removeEventListener('pointerdown', away)
  }, [])
  return (
    <details
      className="menu"
      ref={ref}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || ref.current?.open !== true) return
        event.stopPropagation()
        close()
        ref.current.querySelector('summary')?.focus()
      }}
    >
      <summary className="button" title={title}>
        {label}
      </summary>
      <div className="panel stack">{children(close)}</div>
    </details>
  )
}
