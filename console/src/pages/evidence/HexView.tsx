import { type ReactNode, useMemo } from 'react';
import { useTranslation } from 'react-i18next';
import { hexLines, LINE_BYTES, type Line, type Piece, type Run } from '../../lib/hex';

interface HexViewProps {
  bytes: Uint8Array;
  cited: Run[];
}

/** A frame as hexadecimal and ASCII, sixteen bytes a line, the cited bytes marked in both. */
export function HexView({ bytes, cited }: HexViewProps): ReactNode {
  const { t } = useTranslation();
  const lines = useMemo(() => hexLines(bytes, cited), [bytes, cited]);
  return (
    <>
      <p className="panel-body quiet" style={{ margin: 0 }} data-testid="cited-text">
        {cited.length === 0
          ? t('evidence.noneCited')
          : t('evidence.citedText', {
              runs: cited
                .map((run) =>
                  t('evidence.run', {
                    count: run.length,
                    offset: run.offset,
                    hex: run.offset.toString(16).padStart(4, '0'),
                  }),
                )
                .join('; '),
            })}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls needs the keyboard */}
      <section className="hex" aria-label={t('evidence.bytes')} tabIndex={0}>
        {lines.map((line) => (
          <div className="hex-line" key={line.offset}>
            <span className="hex-offset">{line.offset.toString(16).padStart(4, '0')}</span>
            <span>
              <Pieces line={line} show={(piece) => piece.hex.join(' ')} gap=" " />
            </span>
            <span>
              <Pieces line={line} show={(piece) => piece.text} gap="" />
            </span>
          </div>
        ))}
      </section>
    </>
  );
}

interface PiecesProps {
  line: Line;
  show: (piece: Piece) => string;
  gap: string;
}

function Pieces({ line, show, gap }: PiecesProps): ReactNode {
  let at = line.offset - LINE_BYTES;
  return line.pieces.map((piece, index) => {
    at += piece.hex.length;
    const before = index === 0 ? '' : gap;
    return (
      <span key={at}>
        {before}
        {piece.cited ? <mark>{show(piece)}</mark> : show(piece)}
      </span>
    );
  });
}
