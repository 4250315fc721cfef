import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { Finding } from '../../api/client';
import { Panel } from '../../components/Panel';
import { visible } from '../../lib/format';

/** What is wrong, each with what to do; the switch commands unfold. */
export function Findings({
  findings,
  nothing,
}: {
  findings: Finding[];
  nothing: string;
}): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t('mirror.findings')} bare={findings.length > 0}>
      {findings.length === 0 ? (
        nothing
      ) : (
        <ul className="findings">
          {findings.map((finding) => (
            <li key={`${finding.kind} ${finding.interface} ${finding.vlans.join('.')}`}>
              <h3>{finding.title}</h3>
              <p>{visible(finding.text)}</p>
              <p>
                <strong>{t('mirror.toDo')}</strong> {finding.fix}
              </p>
              {finding.commands.length > 0 && (
                <details>
                  <summary>{t('mirror.commands')}</summary>
                  <p className="quiet">{t('mirror.places')}</p>
                  <div className="commands">
                    {finding.commands.map((commands) => (
                      <div key={commands.vendor}>
                        <h4 title={commands.source}>{commands.vendor}</h4>
                        <pre>{commands.lines.join('\n')}</pre>
                      </div>
                    ))}
                  </div>
                </details>
              )}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
