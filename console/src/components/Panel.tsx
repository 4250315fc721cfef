import type { ReactNode } from 'react';

interface PanelProps {
  title: string;
  note?: ReactNode;
  bare?: boolean;
  children: ReactNode;
}

/** A part of a page with its heading. */
export function Panel({ title, note, bare = false, children }: PanelProps): ReactNode {
  return (
    <section className="panel">
      <h2>
        {title}
        {note !== undefined && <span className="quiet">{note}</span>}
      </h2>
      {bare ? children : <div className="panel-body">{children}</div>}
    </section>
  );
}
