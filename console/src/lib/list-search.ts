/** What the addresses of lists and pages with parts may say. */

export const DEVICE_SORTS = [
  'name',
  'type',
  'vendor',
  'model',
  'firmware',
  'address',
  'level',
  'first_seen',
] as const;

export interface DeviceSearch {
  q?: string;
  type?: string[];
  vendor?: string[];
  level?: string[];
  protocol?: string;
  sort?: (typeof DEVICE_SORTS)[number];
  descending?: true;
}

export interface MapSearch {
  q?: string;
  protocol?: string;
  industrial?: true;
  open?: string[];
}

export const DEVICE_TABS = ['identity', 'connections', 'operations', 'alerts'] as const;

export const ALERT_SORTS = ['severity', 'last_seen', 'first_seen', 'title', 'count'] as const;

export interface AlertSearch {
  q?: string;
  severity?: string[];
  engine?: string[];
  policy?: true;
  sort?: (typeof ALERT_SORTS)[number];
  ascending?: true;
}
