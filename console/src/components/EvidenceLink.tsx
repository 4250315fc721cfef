import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Cited } from '../api/client';
import { placesOf } from '../lib/evidence';

/** Opens the frame bytes that were read; one link a file. */
export function EvidenceLink({ evidence, about }: { evidence: Cited; about: string }): ReactNode {
  const { t } = useTranslation();
  const places = placesOf(evidence);
  return places.map((place) => (
    <span key={place.file} className="nowrap">
      <Link
        to="/evidence"
        search={place}
        title={`${place.file}, ${t('evidence.frame')} ${place.frame}`}
      >
        {t('evidence.showBytes')}
        <span className="hidden-text">
          {' '}
          {about} {places.length > 1 ? place.file : ''}
        </span>
      </Link>{' '}
    </span>
  ));
}
