import { TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { type ReactNode, useEffect, useState } from 'react';

interface SearchBoxProps {
  label: string;
  value: string;
  onSearch: (value: string) => void;
}

/** A search box that asks once typing pauses. */
export function SearchBox({ label, value, onSearch }: SearchBoxProps): ReactNode {
  const [typed, setTyped] = useState(value);
  const search = useDebouncedCallback(onSearch, 200);
  useEffect(() => setTyped(value), [value]);
  return (
    <TextInput
      type="search"
      aria-label={label}
      placeholder={label}
      value={typed}
      maxLength={200}
      w="22rem"
      size="xs"
      onChange={(event) => {
        setTyped(event.currentTarget.value);
        search(event.currentTarget.value);
      }}
    />
  );
}
