import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Grade as GradeData } from '../api/client';
import { formatShare } from '../lib/format';

/** How much was seen, as a letter; the worse ones stand out. */
export function Grade({ grade }: { grade: string }): ReactNode {
  const { t } = useTranslation();
  const known = ['A', 'B', 'C', 'D'].includes(grade) ? grade : 'unknown';
  return (
    <span className={`grade grade-${known}`} title={t(`grade.${known}`)}>
      {known === 'unknown' ? '–' : grade}
      <span className="hidden-text"> {t(`grade.${known}`)}</span>
    </span>
  );
}

/** A grade with the share of each cause that something was not seen. */
export function Seen({ coverage }: { coverage: GradeData }): ReactNode {
  return (
    <>
      <Grade grade={coverage.grade} /> <Shares shares={coverage.unseen} />
    </>
  );
}

/** The share of each cause, in words. */
export function Shares({ shares }: { shares: Record<string, number> }): ReactNode {
  const { t } = useTranslation();
  const causes = Object.entries(shares).sort();
  return (
    <span className="quiet">
      {causes
        .map(([cause, share]) => `${formatShare(share)} ${t(`grade.causes.${cause}`)}`)
        .join(', ')}
    </span>
  );
}
