import type { ReactNode } from 'react';

/** Otic's sign: a listening wave. */
export function Brand(): ReactNode {
  return (
    <svg
      width="22"
      height="22"
      viewBox="0 0 32 32"
      fill="none"
      stroke="currentColor"
      aria-hidden="true"
    >
      <circle cx="16" cy="16" r="13" strokeWidth="2.5" />
      <path
        d="M5 16h6l3-7 4 14 3-7h6"
        strokeWidth="2.4"
        strokeLinejoin="round"
        strokeLinecap="round"
      />
    </svg>
  );
}
