import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

/** An address that names no page. */
export function NotFound(): ReactNode {
  const { t } = useTranslation();
  return (
    <main className="main">
      <h1>{t('notFound.title')}</h1>
      <p>
        <Link to="/overview">{t('notFound.back')}</Link>
      </p>
    </main>
  );
}
