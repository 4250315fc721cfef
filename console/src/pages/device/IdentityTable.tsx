import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Attribute } from '../../api/client';
import { EvidenceLink } from '../../components/EvidenceLink';
import { formatTime, visible } from '../../lib/format';

/** Each attribute: the value that counts, why, and everything that was told about it. */
export function IdentityTable({ attributes }: { attributes: Attribute[] }): ReactNode {
  const { t, i18n } = useTranslation();
  const named = (attribute: string): string =>
    i18n.exists(`attribute.${attribute}`)
      ? t(`attribute.${attribute}`)
      : visible(attribute.replaceAll('_', ' '));
  return (
    <div className="scroll">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">{t('device.attribute')}</th>
            <th scope="col">{t('device.value')}</th>
            <th scope="col">{t('device.why')}</th>
            <th scope="col">{t('device.told')}</th>
          </tr>
        </thead>
        <tbody>
          {attributes.map((row) => (
            <tr key={row.attribute}>
              <td className="nowrap quiet">{named(row.attribute)}</td>
              <td style={{ minWidth: '9rem' }}>
                {row.value === null ? (
                  <span className="quiet">–</span>
                ) : (
                  <strong>{visible(row.value)}</strong>
                )}
              </td>
              <td>
                <Why row={row} />
              </td>
              <td>
                <Claims row={row} named={named} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Why({ row }: { row: Attribute }): ReactNode {
  const { t, i18n } = useTranslation();
  const key = `why.${row.rule}`;
  const { fingerprint, mac, protocol, message } = row.reason;
  const told = i18n.exists(key) ? t(key) : visible(row.rule.replaceAll('-', ' '));
  return (
    <span className="quiet">
      {told}
      {fingerprint !== undefined &&
        ` ${visible(fingerprint)}, ${t(`confidence.${row.reason.confidence}`)}`}
      {mac !== undefined && <span className="mono"> {mac}</span>}
      {protocol !== undefined &&
        row.claims.length === 0 &&
        ` ${t('device.by', { protocol, message })}`}
    </span>
  );
}

interface ClaimsProps {
  row: Attribute;
  named: (attribute: string) => string;
}

/** What was told about an attribute; where that contradicts, also about whom and when. */
function Claims({ row, named }: ClaimsProps): ReactNode {
  const { t } = useTranslation();
  const { attribute } = row;
  return (
    <ul className="claims">
      {row.claims.map((claim) => (
        <li
          className="claim"
          key={`${claim.endpoint} ${claim.attribute} ${claim.value} ${claim.protocol} ${claim.message}`}
        >
          {claim.standing !== 'other' && (
            <span className={`tag tag-${claim.standing}`}>{t(`standing.${claim.standing}`)}</span>
          )}
          <span>
            {claim.attribute !== attribute && (
              <span className="quiet">{named(claim.attribute)} </span>
            )}
            <span className="mono">{visible(claim.value)}</span>
          </span>
          <span className="quiet" title={`${t('device.seenAt')} ${formatTime(claim.seen)}`}>
            {claim.protocol}, {claim.message}, {t(`confidence.${claim.confidence}`)}
            {row.contradicted &&
              ` · ${t('device.toldOf', { endpoint: visible(claim.endpoint), time: formatTime(claim.seen) })}`}
            {claim.ended !== null && `, ${t('device.until')} ${formatTime(claim.ended)}`}
          </span>
          <EvidenceLink
            evidence={claim.evidence}
            about={`${named(claim.attribute)} ${visible(claim.value)}`}
          />
        </li>
      ))}
    </ul>
  );
}
