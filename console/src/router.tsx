import {
  createRootRoute,
  createRoute,
  createRouter,
  Outlet,
  redirect,
} from '@tanstack/react-router';
import { sessionQuery } from './api/queries';
import { queryClient } from './api/query-client';
import { Shell } from './layout/Shell';
import {
  ALERT_SORTS,
  type AlertSearch,
  DEVICE_SORTS,
  DEVICE_TABS,
  type DeviceSearch,
  type MapSearch,
} from './lib/list-search';
import { oneOf, positive, type Search, text, texts } from './lib/search';
import { Alert } from './pages/alert/Alert';
import { Alerts } from './pages/alerts/Alerts';
import { Capture } from './pages/capture/Capture';
import { Device } from './pages/device/Device';
import { Devices } from './pages/devices/Devices';
import { Evidence } from './pages/evidence/Evidence';
import { LogIn } from './pages/log-in/LogIn';
import { DeviceMapPage } from './pages/map/Map';
import { Mirror } from './pages/mirror/Mirror';
import { NotFound } from './pages/NotFound';
import { Overview } from './pages/overview/Overview';
import { People } from './pages/people/People';
import { Setup } from './pages/setup/Setup';

const root = createRootRoute({ component: Outlet, notFoundComponent: NotFound });

const logIn = createRoute({
  getParentRoute: () => root,
  path: '/log-in',
  validateSearch: (search: Search): { next?: string } => {
    const next = text(search.next);
    return /^\/(?!\/)/.test(next) ? { next } : {};
  },
  component: LogIn,
});

const shell = createRoute({
  getParentRoute: () => root,
  id: 'shell',
  beforeLoad: async ({ location }) => {
    try {
      await queryClient.ensureQueryData(sessionQuery);
    } catch {
      throw redirect({ to: '/log-in', search: { next: location.href } });
    }
  },
  component: Shell,
});

const home = createRoute({
  getParentRoute: () => shell,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/overview' });
  },
});

const overview = createRoute({
  getParentRoute: () => shell,
  path: '/overview',
  beforeLoad: async () => {
    const session = await queryClient.ensureQueryData(sessionQuery);
    if (!session.set_up && session.permissions.includes('sensor:set-up')) {
      throw redirect({ to: '/setup' });
    }
  },
  component: Overview,
});

const setup = createRoute({ getParentRoute: () => shell, path: '/setup', component: Setup });

const capture = createRoute({ getParentRoute: () => shell, path: '/capture', component: Capture });

const mirror = createRoute({
  getParentRoute: () => shell,
  path: '/mirror',
  validateSearch: (search: Search): { period?: 'all' } =>
    search.period === 'all' ? { period: 'all' } : {},
  component: Mirror,
});

const devices = createRoute({
  getParentRoute: () => shell,
  path: '/devices',
  validateSearch: (search: Search): DeviceSearch => {
    const sort = oneOf(search.sort, DEVICE_SORTS);
    const type = texts(search.type);
    const level = texts(search.level).filter((entry) => /^[0-5]$/.test(entry));
    // An empty vendor is a wish of its own: devices whose vendor is not known.
    const vendor = Array.isArray(search.vendor) ? search.vendor.map(text) : texts(search.vendor);
    return {
      ...(text(search.q) !== '' && { q: text(search.q) }),
      ...(type.length > 0 && { type }),
      ...(vendor.length > 0 && { vendor }),
      ...(level.length > 0 && { level }),
      ...(text(search.protocol) !== '' && { protocol: text(search.protocol) }),
      ...(sort !== 'name' && { sort }),
      ...(search.descending === true && { descending: true as const }),
    };
  },
  component: Devices,
});

const device = createRoute({
  getParentRoute: () => shell,
  path: '/devices/$device',
  validateSearch: (search: Search): { tab?: (typeof DEVICE_TABS)[number] } => {
    const tab = oneOf(search.tab, DEVICE_TABS);
    return tab === 'identity' ? {} : { tab };
  },
  component: Device,
});

const map = createRoute({
  getParentRoute: () => shell,
  path: '/map',
  validateSearch: (search: Search): MapSearch => {
    const open = texts(search.open);
    return {
      ...(text(search.q) !== '' && { q: text(search.q) }),
      ...(text(search.protocol) !== '' && { protocol: text(search.protocol) }),
      ...(search.industrial === true && { industrial: true as const }),
      ...(open.length > 0 && { open }),
    };
  },
  component: DeviceMapPage,
});

const alerts = createRoute({
  getParentRoute: () => shell,
  path: '/alerts',
  validateSearch: (search: Search): AlertSearch => {
    const severity = texts(search.severity);
    const engine = texts(search.engine);
    const sort = oneOf(search.sort, ALERT_SORTS);
    return {
      ...(text(search.q) !== '' && { q: text(search.q) }),
      ...(severity.length > 0 && { severity }),
      ...(engine.length > 0 && { engine }),
      ...(search.policy === true && { policy: true as const }),
      ...(sort !== 'severity' && { sort }),
      ...(search.ascending === true && { ascending: true as const }),
    };
  },
  component: Alerts,
});

const alert = createRoute({
  getParentRoute: () => shell,
  path: '/alerts/$alert',
  component: Alert,
});

const evidence = createRoute({
  getParentRoute: () => shell,
  path: '/evidence',
  validateSearch: (
    search: Search,
  ): { file: string; frame: number; spans: string; decode: string } => ({
    file: text(search.file),
    frame: positive(search.frame),
    spans: text(search.spans),
    decode: text(search.decode) || 'derived',
  }),
  component: Evidence,
});

const people = createRoute({ getParentRoute: () => shell, path: '/people', component: People });

export const router = createRouter({
  routeTree: root.addChildren([
    logIn,
    shell.addChildren([
      home,
      overview,
      capture,
      mirror,
      devices,
      device,
      map,
      alerts,
      alert,
      evidence,
      people,
      setup,
    ]),
  ]),
  defaultPreload: 'intent',
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
