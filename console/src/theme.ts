import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from '@mantine/core';

const steel: MantineColorsTuple = [
  '#f0f3f5',
  '#e1e6ea',
  '#c5ced5',
  '#a5b3be',
  '#8699a8',
  '#6c8294',
  '#587083',
  '#475d6e',
  '#374a59',
  '#273743',
];

const dark: MantineColorsTuple = [
  '#dfe4e8',
  '#c3ccd3',
  '#a3afb8',
  '#7f8c96',
  '#4b565f',
  '#3b444b',
  '#262c31',
  '#1f2428',
  '#171b1e',
  '#101315',
];

export const theme = createTheme({
  primaryColor: 'steel',
  primaryShade: { light: 7, dark: 6 },
  colors: { steel, dark },
  defaultRadius: 'sm',
  fontFamily: 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, monospace',
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.125rem' },
  headings: {
    fontWeight: '600',
    sizes: {
      h1: { fontSize: '1.25rem' },
      h2: { fontSize: '0.9375rem' },
      h3: { fontSize: '0.875rem' },
    },
  },
  focusRing: 'auto',
});

const ours = {
  '--mantine-color-dimmed': 'var(--quiet)',
  '--mantine-color-placeholder': 'var(--quiet)',
  '--mantine-color-error': 'var(--critical)',
  '--mantine-color-body': 'var(--raised)',
  '--mantine-color-text': 'var(--ink)',
  '--mantine-color-default': 'var(--raised)',
  '--mantine-color-default-border': 'var(--line)',
};

/** The kit's colours are those of `styles.css`, in both themes. */
export const variables: CSSVariablesResolver = () => ({ variables: {}, light: ours, dark: ours });
