import { useQuery } from '@tanstack/react-query';
import { Link, Outlet } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { overviewQuery, sessionQuery } from '../api/queries';
import { useLive } from '../api/use-live';
import { formatCount } from '../lib/format';
import { Brand } from './Brand';
import { Me } from './Me';

/** The frame around all pages, for who is logged in. */
export function Shell(): ReactNode {
  const session = useQuery(sessionQuery);
  return (
    session.data && (
      <Frame
        permissions={session.data.permissions}
        sensor={session.data.sensor}
        live={session.data.live}
        setUp={session.data.set_up}
      />
    )
  );
}

interface FrameProps {
  permissions: string[];
  sensor: string;
  live: boolean;
  setUp: boolean;
}

function Frame({ permissions, sensor, live, setUp }: FrameProps): ReactNode {
  const { t } = useTranslation();
  useLive(live);
  const overview = useQuery(overviewQuery);
  const counts: Record<string, number | undefined> = {
    '/devices': overview.data?.devices,
    '/alerts': overview.data?.alerts,
  };
  const pages = [
    ...(!setUp && permissions.includes('sensor:set-up')
      ? [{ to: '/setup' as const, label: t('nav.setup') }]
      : []),
    { to: '/overview' as const, label: t('nav.overview') },
    { to: '/devices' as const, label: t('nav.devices') },
    { to: '/map' as const, label: t('nav.map') },
    { to: '/alerts' as const, label: t('nav.alerts') },
    ...(live ? [{ to: '/capture' as const, label: t('nav.capture') }] : []),
    { to: '/mirror' as const, label: t('nav.mirror') },
    ...(permissions.includes('users:manage')
      ? [{ to: '/people' as const, label: t('nav.people') }]
      : []),
  ];
  return (
    <div className="shell">
      <a className="skip" href="#main">
        {t('nav.skip')}
      </a>
      <nav className="nav" aria-label={t('nav.label')}>
        <div className="nav-brand">
          <Brand />
          {t('app.name')}
        </div>
        {pages.map((page) => (
          <Link
            key={page.to}
            to={page.to}
            className="nav-link"
            activeProps={{ 'aria-current': 'page' }}
          >
            {page.label}
            {counts[page.to] !== undefined && (
              <span className="quiet">{formatCount(counts[page.to] ?? 0)}</span>
            )}
          </Link>
        ))}
        <Me sensor={sensor} />
      </nav>
      <main className="main" id="main" tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}
