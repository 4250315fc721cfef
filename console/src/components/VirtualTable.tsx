import { useVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useEffect, useRef } from 'react';
import { useTranslation } from 'react-i18next';

export interface Column<Row, Sort extends string> {
  key: string;
  label: string;
  width: string;
  sort?: Sort;
  number?: boolean;
  cell: (row: Row) => ReactNode;
}

interface VirtualTableProps<Row, Sort extends string> {
  label: string;
  columns: Column<Row, Sort>[];
  total: number;
  rowAt: (index: number) => Row | undefined;
  keyOf: (row: Row) => string;
  sort: Sort;
  descending: boolean;
  onSort: (sort: Sort, descending: boolean) => void;
  onRange: (first: number, last: number) => void;
}

const ROW_PX = 31;

/** A table of any length: only the rows in sight are in the page, the rest is space. */
export function VirtualTable<Row, Sort extends string>(
  props: VirtualTableProps<Row, Sort>,
): ReactNode {
  const { columns, total, rowAt, keyOf, sort, descending, onSort, onRange } = props;
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: total,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
  });
  const rows = virtual.getVirtualItems();
  const first = rows[0]?.index ?? 0;
  const last = rows.at(-1)?.index ?? 0;
  useEffect(() => onRange(first, last), [onRange, first, last]);
  const before = rows[0]?.start ?? 0;
  const after = virtual.getTotalSize() - (rows.at(-1)?.end ?? 0);
  const space = (height: number): ReactNode =>
    height > 0 && (
      <tr className="spacer">
        <td colSpan={columns.length} style={{ height }} />
      </tr>
    );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls needs the keyboard
    <section className="virtual" ref={box} aria-label={props.label} tabIndex={0}>
      <table className="table" aria-rowcount={total + 1}>
        <colgroup>
          {columns.map((column) => (
            <col key={column.key} style={{ width: column.width }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => {
              const wanted = column.sort;
              const active = wanted !== undefined && wanted === sort;
              return (
                <th
                  key={column.key}
                  scope="col"
                  className={column.number ? 'number' : undefined}
                  aria-sort={active ? (descending ? 'descending' : 'ascending') : undefined}
                >
                  {wanted === undefined ? (
                    column.label
                  ) : (
                    <button
                      type="button"
                      className="sort"
                      onClick={() => onSort(wanted, active ? !descending : false)}
                    >
                      {column.label}
                      <span aria-hidden="true">{active ? (descending ? ' ▾' : ' ▴') : ''}</span>
                    </button>
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {space(before)}
          {rows.map(({ index }) => {
            const row = rowAt(index);
            return (
              <tr
                key={row === undefined ? `waiting ${index}` : keyOf(row)}
                className="row"
                aria-rowindex={index + 2}
              >
                {row === undefined ? (
                  <td colSpan={columns.length} className="quiet">
                    {t('common.loading')}
                  </td>
                ) : (
                  columns.map((column) => (
                    <td key={column.key} className={column.number ? 'number' : undefined}>
                      {column.cell(row)}
                    </td>
                  ))
                )}
              </tr>
            );
          })}
          {space(after)}
        </tbody>
      </table>
      {total === 0 && <p className="empty">{t('common.nothing')}</p>}
    </section>
  );
}
