import type { ReactNode } from 'react';
import { formatCount } from '../lib/format';

export interface Bar {
  key: string;
  label: ReactNode;
  count: number;
}

/** Counts as bars, each relative to the largest. */
export function Bars({
  bars,
  most = 12,
  rest,
}: {
  bars: Bar[];
  most?: number;
  rest: string;
}): ReactNode {
  const largest = Math.max(1, ...bars.map((bar) => bar.count));
  const hidden = bars.slice(most);
  return (
    <ul className="bars">
      {bars.slice(0, most).map((bar) => (
        <li className="bar" key={bar.key}>
          <span>{bar.label}</span>
          <span className="bar-track" aria-hidden="true">
            <span
              className="bar-fill"
              style={{ display: 'block', width: `${(bar.count / largest) * 100}%` }}
            />
          </span>
          <span className="bar-count">{formatCount(bar.count)}</span>
        </li>
      ))}
      {hidden.length > 0 && (
        <li className="quiet">
          {rest} {formatCount(hidden.reduce((sum, bar) => sum + bar.count, 0))}
        </li>
      )}
    </ul>
  );
}
