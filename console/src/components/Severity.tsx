import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

export const SEVERITIES = ['critical', 'major', 'minor', 'warning'] as const;

const SHAPES: Record<string, ReactNode> = {
  critical: <rect x="1" y="1" width="10" height="10" />,
  major: <path d="M6 1 11.5 11H.5z" />,
  minor: <path d="M6 11 .5 1h11z" />,
  warning: <path d="M6 .5 11.5 6 6 11.5.5 6z" />,
};

/** The shape alone; its word has to be said beside it. */
export function SeverityShape({ severity }: { severity: string }): ReactNode {
  return (
    <svg width="12" height="12" viewBox="0 0 12 12" fill="currentColor" aria-hidden="true">
      {SHAPES[severity]}
    </svg>
  );
}

/** A severity as shape, colour and word. */
export function Severity({ severity, word }: { severity: string; word?: string }): ReactNode {
  const { t } = useTranslation();
  return (
    <span className={`severity severity-${severity}`}>
      <SeverityShape severity={severity} />
      <span className="severity-word">{word ?? t(`severity.${severity}`)}</span>
    </span>
  );
}

/** How many alerts of each severity, most severe first; a dash when there are none. */
export function SeverityCounts({ counts }: { counts: Record<string, number> }): ReactNode {
  const { t } = useTranslation();
  const present = SEVERITIES.filter((severity) => (counts[severity] ?? 0) > 0);
  if (present.length === 0) {
    return <span className="quiet">–</span>;
  }
  return present.map((severity) => (
    <span key={severity} style={{ marginRight: '0.5rem' }}>
      <Severity severity={severity} word={String(counts[severity])} />
      <span className="hidden-text"> {t(`severity.${severity}`)}</span>
    </span>
  ));
}
