import createClient, { type Middleware } from 'openapi-fetch';
import type { components, paths } from './schema';

type Schemas = components['schemas'];

export type SessionInfo = Schemas['SessionInfo'];
export type DeviceRow = Schemas['DeviceRow'];
export type DeviceDetail = Schemas['DeviceDetail'];
export type Attribute = Schemas['Attribute'];
export type Cited = Schemas['Cited'];
export type Ref = Schemas['Ref'];
export type Party = Schemas['Party'];
export type ConnectionRow = Schemas['ConnectionRow'];
export type OperationRow = Schemas['OperationRow'];
export type AlertRow = Schemas['AlertRow'];
export type AlertDetail = Schemas['AlertDetail'];
export type AlertPage = Schemas['AlertPage'];
export type Side = Schemas['Side'];
export type Count = Schemas['Count'];
export type Overview = Schemas['Overview'];
export type Frames = Schemas['Frames'];
export type FrameOut = Schemas['FrameOut'];
export type DeviceMap = Schemas['DeviceMap'];
export type MapNode = Schemas['MapNode'];
export type MapEdge = Schemas['MapEdge'];
export type UserInfo = Schemas['UserInfo'];
export type AuditRow = Schemas['AuditRow'];
export type Capture = Schemas['Capture'];
export type Mirror = Schemas['Mirror'];
export type Finding = Schemas['Told'];
export type Grade = Schemas['Grade'];
export type MonitoredInterface = Schemas['InterfaceOut'];
export type Setup = Schemas['Setup'];
export type SetupResult = Schemas['SetupResult'];
export type ConfiguredInterface = Schemas['ConfiguredInterface'];
export type Port = Schemas['Port'];
export type SubnetChoice = Schemas['SubnetChoice'];
export type SeenNetwork = Schemas['SeenNetwork'];
export type ClockOut = Schemas['ClockOut'];
export type LearningOut = Schemas['LearningOut'];

/** What the API says when it refuses; `invalid` names fields, each as `path: reason`. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly invalid: readonly string[] = [],
  ) {
    super(message);
    this.name = 'Refusal';
  }
}

let csrf = '';

/** Keeps the session's second token, which every change has to carry. */
export function rememberToken(token: string): void {
  csrf = token;
}

const sign: Middleware = {
  onRequest({ request }) {
    if (request.method !== 'GET' && csrf !== '') {
      request.headers.set('X-CSRF-Token', csrf);
    }
    return request;
  },
};

export const api = createClient<paths>({
  baseUrl: globalThis.location?.origin ?? '',
  credentials: 'same-origin',
});
api.use(sign);

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The answer's data, or the reason why there is none. */
export async function told<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (response.ok) {
    return data as T;
  }
  const detail =
    typeof error === 'object' && error !== null && 'detail' in error
      ? String(error.detail)
      : response.statusText;
  const invalid =
    typeof error === 'object' &&
    error !== null &&
    'invalid' in error &&
    Array.isArray(error.invalid)
      ? error.invalid.map(String)
      : [];
  throw new Refusal(response.status, detail, invalid);
}
